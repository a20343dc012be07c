//! What looking for damage found.

use prophet_store::{StoreError, Verification};

/// Where everything is damage, the first of it says enough.
const MOST_PROBLEMS: usize = 1_000;

/// What was found so far, with the first 1,000 problems.
#[derive(Debug, Default)]
pub struct Report {
    found: Verification,
}

impl Report {
    /// Nothing was looked at yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on from what was found elsewhere.
    pub const fn after(found: Verification) -> Self {
        Self { found }
    }

    /// What was counted.
    pub const fn counts(&mut self) -> &mut Verification {
        &mut self.found
    }

    /// Whether nothing is wrong so far.
    pub fn is_sound(&self) -> bool {
        self.found.is_sound()
    }

    /// Adds a problem.
    pub fn problem(&mut self, problem: String) {
        match self.found.problems.len() {
            ..MOST_PROBLEMS => self.found.problems.push(problem),
            MOST_PROBLEMS => self.found.problems.push("and more".to_owned()),
            _ => {}
        }
    }

    /// Puts damage into the report.
    ///
    /// # Errors
    /// What keeps from looking.
    pub fn note<T>(&mut self, result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match result {
            Ok(fine) => Ok(Some(fine)),
            Err(error @ (StoreError::Corrupt { .. } | StoreError::NewerFormat { .. })) => {
                self.problem(error.to_string());
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    /// All that was found.
    pub fn finish(self) -> Verification {
        self.found
    }
}
