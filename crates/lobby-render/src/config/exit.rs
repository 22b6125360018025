//! How a program that renders templates ends.

/// The status that the process ends with; consul-template's numbers. A supervised child's own status stands for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything that was asked is done.
    Ok = 0,
    /// Stopped by the kill signal.
    Stopped = 12,
    /// The command line is wrong: an unknown flag, a value that does not fit, a word too many.
    Flags = 13,
    /// A template, its data, its file or its command failed, and was not allowed to.
    Runner = 14,
    /// The configuration is wrong, or cannot be read.
    Config = 15,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
