//! The hybrid logical clock. Clocks decide nothing but ties and display.

use std::fmt;
use std::time::Duration;

/// A hybrid logical time: milliseconds since the Unix epoch, and a counter that orders what
/// happened within one of them or while the wall clock stood still.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    millis: u64,
    counter: u32,
}

impl Timestamp {
    /// The time `millis` milliseconds after the Unix epoch, with `counter` events before it there.
    pub const fn new(millis: u64, counter: u32) -> Self {
        Self { millis, counter }
    }

    /// Milliseconds since the Unix epoch, as the author's clock had it.
    pub const fn millis(self) -> u64 {
        self.millis
    }

    /// Orders events of the same millisecond.
    pub const fn counter(self) -> u32 {
        self.counter
    }

    /// The smallest time after this one; the last of all stays where it is.
    const fn successor(self) -> Self {
        match self.counter.checked_add(1) {
            Some(counter) => Self { millis: self.millis, counter },
            None if self.millis == u64::MAX => self,
            None => Self { millis: self.millis + 1, counter: 0 },
        }
    }
}

/// UTC in the form of RFC 3339 to the day before the last of the year 9999, where every time zone
/// still has a four-digit year; beyond, the milliseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.millis).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok())
        {
            Some(at) => write!(f, "{at:.3}"),
            None => write!(f, "{} ms after 1970", self.millis),
        }
    }
}

/// The local hybrid logical clock: never goes back, and follows others only up to a bound.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HybridClock {
    last: Timestamp,
}

impl HybridClock {
    /// How far ahead of the wall clock a time met elsewhere may push the local clock. One replica
    /// with a wrong clock must not take everybody's into the future with it.
    const BOUND: Duration = Duration::from_secs(60);

    /// A time after every one given out or followed so far, and not before `wall` milliseconds.
    pub(crate) fn tick(&mut self, wall: u64) -> Timestamp {
        self.last = self.last.successor().max(Timestamp::new(wall, 0));
        self.last
    }

    /// Follows a time met in the log.
    pub(crate) fn follow(&mut self, met: Timestamp, wall: u64) {
        let bound = wall.saturating_add(Self::BOUND.as_millis() as u64);
        if met.millis <= bound {
            self.last = self.last.max(met);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_utc_dates() {
        assert_eq!(Timestamp::new(0, 0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::new(951_782_400_000, 9).to_string(), "2000-02-29T00:00:00.000Z");
        assert_eq!(Timestamp::new(1_532_183_916_123, 0).to_string(), "2018-07-21T14:38:36.123Z");
        assert_eq!(Timestamp::new(4_107_542_399_999, 0).to_string(), "2100-02-28T23:59:59.999Z");
        assert_eq!(Timestamp::new(4_107_542_400_000, 0).to_string(), "2100-03-01T00:00:00.000Z");
        assert_eq!(
            Timestamp::new(253_402_207_200_000, 0).to_string(),
            "9999-12-30T22:00:00.000Z"
        );
        assert_eq!(Timestamp::new(u64::MAX, 0).to_string(), format!("{} ms after 1970", u64::MAX));
    }

    #[test]
    fn the_clock_only_goes_forward_whatever_the_wall_clock_does() {
        let mut clock = HybridClock::default();
        let times = [5, 5, 3, 0, 9, u64::MAX, 1, u64::MAX].map(|wall| clock.tick(wall));
        assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
        clock.last = Timestamp::new(u64::MAX, u32::MAX);
        assert_eq!(clock.tick(0), Timestamp::new(u64::MAX, u32::MAX), "no overflow at the end of time");
    }

    #[test]
    fn a_time_far_ahead_is_not_followed() {
        let mut clock = HybridClock::default();
        clock.follow(Timestamp::new(1_000, 7), 1_000);
        assert_eq!(clock.tick(1_000), Timestamp::new(1_000, 8));
        clock.follow(Timestamp::new(u64::MAX, 0), 1_000);
        assert_eq!(clock.tick(1_000), Timestamp::new(1_000, 9));
    }
}
