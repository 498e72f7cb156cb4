//! `[log]`: what is written down.

use super::value::Reader;

/// `[log]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// `level`
    pub level: Level,
    /// `access`
    pub access: AccessFormat,
}

/// `level`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Level {
    /// `"error"`
    Error,
    /// `"warn"`
    Warn,
    /// `"info"`
    #[default]
    Info,
    /// `"debug"`
    Debug,
}

/// `access`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AccessFormat {
    /// `"json"`
    #[default]
    Json,
    /// `"combined"`: Apache's Combined Log Format.
    Combined,
    /// `"common"`: the Common Log Format.
    Common,
    /// `"off"`
    Off,
}

impl Log {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let levels =
            [("error", Level::Error), ("warn", Level::Warn), ("info", Level::Info), ("debug", Level::Debug)];
        let formats = [
            ("json", AccessFormat::Json),
            ("combined", AccessFormat::Combined),
            ("common", AccessFormat::Common),
            ("off", AccessFormat::Off),
        ];
        let log = Self {
            level: reader.choice("level", &levels, Level::Info),
            access: reader.choice("access", &formats, AccessFormat::Json),
        };
        reader.finish();
        log
    }
}
