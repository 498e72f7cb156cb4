//! `[log]`: what is written down.

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
