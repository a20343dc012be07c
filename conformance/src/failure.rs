//! What a check says when a store breaks a rule.

use std::fmt;
use std::panic::Location;

use prophet_store::StoreError;

/// What a check comes to.
pub type Outcome<T = ()> = Result<T, Failure>;

/// A store does not do what the contract says.
#[derive(Debug)]
pub struct Failure {
    rule: Option<&'static str>,
    message: String,
    more: String,
    /// What a call was answered that no rule allows to fail.
    answer: Option<Box<StoreError>>,
    location: &'static Location<'static>,
}

/// Bytes after which a value says no more to a reader: some checks compare 16 MiB of text.
const SHOWN: usize = 600;

/// Text that takes in no more once it is long enough, so that what is not shown is not formatted.
struct Shown(String);

impl fmt::Write for Shown {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = SHOWN.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        Err(fmt::Error)
    }
}

fn shown(value: &dyn fmt::Debug) -> String {
    let mut shown = Shown(String::new());
    if fmt::write(&mut shown, format_args!("{value:?}")).is_err() {
        shown.0.push('…');
    }
    shown.0
}

impl Failure {
    #[track_caller]
    pub(crate) fn new(rule: &'static str, message: String) -> Self {
        let location = Location::caller();
        Self { rule: Some(rule), message, more: String::new(), answer: None, location }
    }

    #[track_caller]
    pub(crate) fn unequal(
        rule: &'static str,
        what: &str,
        expected: &dyn fmt::Debug,
        came: &dyn fmt::Debug,
    ) -> Self {
        let (expected, came) = (shown(expected), shown(came));
        Self::new(rule, format!("{what}\n  expected: {expected}\n      came: {came}"))
    }

    /// Something around the store failed: a process, a thread.
    #[track_caller]
    pub(crate) fn around(message: impl Into<String>) -> Self {
        let (message, location) = (message.into(), Location::caller());
        Self { rule: None, message, more: String::new(), answer: None, location }
    }

    /// A check did not come to an end, or the store panicked in it.
    #[track_caller]
    pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Self::around(format!("a panic: {text}"))
    }

    /// The same, as a breach of another rule. A call that failed for no reason stays that.
    fn under(self, rule: &'static str) -> Self {
        match self.rule {
            Some(seen) if seen != rule => {
                let message = format!("(seen by {seen}) {}", self.message);
                Self { rule: Some(rule), message, ..self }
            }
            _ => self,
        }
    }

    /// The same, with more to say.
    pub(crate) fn with(mut self, more: String) -> Self {
        self.more.push_str(&more);
        self
    }

    /// What the store answered, where the failure is nothing but that a call failed.
    pub(crate) fn answer(&self) -> Option<&StoreError> {
        self.answer.as_deref()
    }

    /// The same with a rule, where it had none.
    pub(crate) fn breaks(mut self, rule: &'static str) -> Self {
        self.rule = self.rule.or(Some(rule));
        self
    }

    /// The same, found there.
    pub(crate) fn found(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// The number of the rule in `docs/contract.md`; `None` where a call failed that no rule
    /// allows to fail.
    pub const fn rule(&self) -> Option<&'static str> {
        self.rule
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rule) = self.rule {
            write!(f, "rule {rule}: ")?;
        }
        write!(f, "{}\n        at: {}{}", self.message, self.location, self.more)
    }
}

impl std::error::Error for Failure {}

/// A call failed in a check that takes it to succeed.
impl From<StoreError> for Failure {
    #[track_caller]
    fn from(error: StoreError) -> Self {
        let message =
            format!("a call failed that has no reason to: {error}\n      came: {error:?}");
        Self { answer: Some(Box::new(error)), ..Self::around(message) }
    }
}

/// Says that whatever rule is broken here, it is by way of this one: for content that is compared
/// in order to see whether something else was done right.
pub(crate) fn under(rule: &'static str) -> impl Fn(Failure) -> Failure {
    move |failure| failure.under(rule)
}

macro_rules! ensure {
    ($rule:ident, $holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err($crate::failure::Failure::new(stringify!($rule), format!($($message)+)));
        }
    };
}

macro_rules! ensure_eq {
    ($rule:ident, $came:expr, $expected:expr, $($what:tt)+) => {
        match (&$came, &$expected) {
            (came, expected) => {
                if *came != *expected {
                    let what = format!($($what)+);
                    let rule = stringify!($rule);
                    return Err($crate::failure::Failure::unequal(rule, &what, expected, came));
                }
            }
        }
    };
}

/// The answer has to be this error.
macro_rules! ensure_error {
    ($rule:ident, $came:expr, $pattern:pat $(if $guard:expr)?, $($what:tt)+) => {
        match $came {
            Err($pattern) $(if $guard)? => {}
            came => {
                let expected = format_args!("Err({})", stringify!($pattern $(if $guard)?));
                let what = format!($($what)+);
                let rule = stringify!($rule);
                return Err($crate::failure::Failure::unequal(rule, &what, &expected, &came));
            }
        }
    };
}

/// The call has to succeed; gives what it answered.
macro_rules! ensure_ok {
    ($rule:ident, $came:expr, $($what:tt)+) => {
        match $came {
            Ok(came) => came,
            Err(error) => {
                let (what, expected) = (format!($($what)+), format_args!("Ok(_)"));
                let rule = stringify!($rule);
                return Err($crate::failure::Failure::unequal(rule, &what, &expected, &error));
            }
        }
    };
}

pub(crate) use {ensure, ensure_eq, ensure_error, ensure_ok};
