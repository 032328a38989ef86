//! What a verb is, and how it fails.

/// Why a verb did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong: exit 2.
    Usage(String),
    /// Something failed, in one line: exit 1.
    Failed(String),
    /// A program failed and has already said why; its exit status is passed on.
    Exit(u8),
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Shorthand for a failure of one line.
pub fn failed(message: impl Into<String>) -> Failure {
    Failure::Failed(message.into())
}

/// What a verb and its parts return.
pub type Result<T = ()> = std::result::Result<T, Failure>;

/// One word of the command line and what it runs.
pub struct Verb {
    pub name: &'static str,
    /// One line for the list of verbs.
    pub about: &'static str,
    /// All of it, from `Usage:` on.
    pub help: &'static str,
    pub run: fn(lexopt::Parser) -> Result,
}

/// For verbs that take no options of their own.
pub fn no_options(mut args: lexopt::Parser) -> Result {
    match args.next()? {
        None => Ok(()),
        Some(arg) => Err(arg.unexpected().into()),
    }
}
