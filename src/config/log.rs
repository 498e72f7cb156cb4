//! `[log]`: what is written down.

use super::value::TableReader;

/// `[log]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// `level`
    pub level: LogLevel,
    /// `access`
    pub access: AccessFormat,
    /// `principals`: who is logged in stands in both logs.
    pub principals: bool,
}

/// `level`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogLevel {
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

impl LogConfig {
    pub(super) fn read(reader: &TableReader<'_>) -> Self {
        let levels = [
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
        ];
        let formats = [
            ("json", AccessFormat::Json),
            ("combined", AccessFormat::Combined),
            ("common", AccessFormat::Common),
            ("off", AccessFormat::Off),
        ];
        let log = Self {
            level: reader.choice("level", &levels, LogLevel::Info),
            access: reader.choice("access", &formats, AccessFormat::Json),
            principals: reader.bool("principals", true),
        };
        reader.finish();
        log
    }
}
