//! What lines one after another come to: whether each follows from those before it.

use prophet_files::line::{CommitEnd, Line, Start};
use prophet_store::{Head, LogEntry};

/// A commit as it stands in the log.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) entries: Vec<LogEntry>,
    pub(crate) end: CommitEnd,
}

/// What a line is of.
#[derive(Debug)]
pub(crate) enum Step {
    Start(Start),
    /// A log entry, of a commit that has not ended.
    Entry,
    /// The end of a commit.
    Commit(Committed),
    /// The end of the segment.
    Sealed,
}

/// Where the lines have led.
#[derive(Debug)]
pub(crate) struct Follow {
    head: Head,
    /// Those of the commit that has not ended.
    entries: Vec<LogEntry>,
    sealed: bool,
    published: bool,
    /// The next segment may begin at any place.
    anywhere: bool,
}

impl Follow {
    /// After the lines that led to `head`, in a replica's own log or in a published one, in which a
    /// commit stands for as many as it has entries.
    pub(crate) const fn after(head: Head, published: bool) -> Self {
        Self { head, entries: Vec::new(), sealed: false, published, anywhere: false }
    }

    /// After the last commit that ended.
    pub(crate) const fn head(&self) -> Head {
        self.head
    }

    /// The last entry, if its commit has not ended.
    pub(crate) fn open_entry(&self) -> Option<&LogEntry> {
        self.entries.last()
    }

    /// What comes next is a segment. It has to go on where the last one ended, or else its own word
    /// is taken for that.
    pub(crate) fn begin_segment(&mut self, goes_on: bool) {
        self.sealed = false;
        self.anywhere = !goes_on;
        if self.anywhere {
            self.entries.clear();
        }
    }

    /// Whether the segment came to its end.
    pub(crate) const fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Takes the next line, unless it does not follow.
    pub(crate) fn take(&mut self, line: Line) -> Result<Step, &'static str> {
        if self.sealed {
            return Err("there is more behind the line that ends the segment");
        }
        let position = self.head.position.get() + self.entries.len() as u64;
        match line {
            Line::Start(start) if std::mem::take(&mut self.anywhere) => {
                self.head = start.base;
                Ok(Step::Start(start))
            }
            Line::Start(start) if start.base == self.head && self.entries.is_empty() => {
                Ok(Step::Start(start))
            }
            Line::Start(_) => Err("a segment does not begin where the one before it ends"),
            Line::Entry(entry) if entry.position.get() == position + 1 => {
                self.entries.push(entry);
                Ok(Step::Entry)
            }
            Line::Entry(_) => Err("a log entry does not have the position that comes next"),
            Line::Commit(end) if self.is_next(end.head) && end.head.position.get() == position => {
                self.head = end.head;
                Ok(Step::Commit(Committed { entries: std::mem::take(&mut self.entries), end }))
            }
            Line::Commit(_) => Err("a commit does not follow the one before it"),
            Line::Sealed(head) if head == self.head && self.entries.is_empty() => {
                self.sealed = true;
                Ok(Step::Sealed)
            }
            Line::Sealed(_) => Err("the segment is sealed at another place than it ends"),
        }
    }

    fn is_next(&self, head: Head) -> bool {
        match self.published {
            true => head.version.get() == head.position.get() && !self.entries.is_empty(),
            false => head.version == self.head.version.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::StreamExt as _;
    use futures_lite::future::block_on;
    use prophet_store::{
        CommitId, Direction, Identity, MemoryStore, Position, Properties, Replica, Version,
    };

    use super::*;

    fn entries() -> (Identity, Vec<LogEntry>) {
        let identity = Identity::new_database().unwrap();
        let entries = block_on(async {
            let replica = Replica::open(MemoryStore::new(identity)).await.unwrap();
            for _ in 0..4 {
                replica.create("bug", Properties::default()).await.unwrap();
            }
            replica.log(None, Direction::Forward).map(Result::unwrap).collect().await
        });
        (identity, entries)
    }

    fn head(version: u64, position: u64) -> Head {
        let commit = CommitId::from_bytes([version as u8; 16]);
        Head { version: Version::new(version), position: Position::new(position), commit }
    }

    fn commit(version: u64, position: u64) -> Line {
        Line::Commit(CommitEnd::at(head(version, position)))
    }

    /// Takes all lines but the last, and says whether that is refused.
    fn refuses(mut follow: Follow, lines: Vec<Line>) -> bool {
        let mut lines = lines.into_iter();
        let last = lines.next_back().unwrap();
        for line in lines {
            follow.take(line).unwrap();
        }
        follow.take(last).is_err()
    }

    #[test]
    fn each_line_has_to_follow_from_those_before_it() {
        let (identity, entries) = entries();
        let own = || Follow::after(Head::EMPTY, false);
        let entry = |position: usize| Line::Entry(entries[position - 1].clone());
        let start = |base| Line::Start(Start { identity, segment: 1, base });
        let begin = || start(Head::EMPTY);
        for (lines, refused) in [
            (vec![begin()], false),
            (vec![start(head(1, 1))], true),
            (vec![entry(1), begin()], true),
            (vec![begin(), entry(1)], false),
            (vec![begin(), entry(2)], true),
            (vec![begin(), entry(1), entry(2)], false),
            (vec![begin(), entry(1), entry(1)], true),
            (vec![begin(), entry(1), entry(3)], true),
            (vec![begin(), entry(1), commit(1, 1)], false),
            (vec![begin(), entry(1), commit(1, 2)], true),
            (vec![begin(), entry(1), commit(1, 0)], true),
            (vec![begin(), entry(1), commit(2, 1)], true),
            (vec![begin(), entry(1), commit(0, 1)], true),
            (vec![begin(), commit(1, 0)], false),
            (vec![begin(), entry(1), entry(2), commit(1, 2), entry(3), commit(2, 3)], false),
            (vec![begin(), entry(1), entry(2), commit(1, 2), entry(3), commit(3, 3)], true),
            (vec![begin(), entry(1), commit(1, 1), Line::Sealed(head(1, 1))], false),
            (vec![begin(), entry(1), commit(1, 1), Line::Sealed(head(2, 1))], true),
            (vec![begin(), entry(1), Line::Sealed(Head::EMPTY)], true),
            (vec![begin(), Line::Sealed(Head::EMPTY), commit(1, 0)], true),
        ] {
            let shown = format!("{lines:?}");
            assert_eq!(refuses(own(), lines), refused, "{shown}");
        }
    }

    #[test]
    fn a_published_commit_stands_for_as_many_as_it_has_entries() {
        let (_, entries) = entries();
        let published = || Follow::after(Head::EMPTY, true);
        let entry = |position: usize| Line::Entry(entries[position - 1].clone());
        for (lines, refused) in [
            (vec![entry(1), entry(2), commit(2, 2)], false),
            (vec![entry(1), entry(2), commit(1, 2)], true),
            (vec![commit(0, 0)], true),
            (vec![entry(1), commit(1, 1), entry(2), entry(3), commit(3, 3)], false),
        ] {
            let shown = format!("{lines:?}");
            assert_eq!(refuses(published(), lines), refused, "{shown}");
        }
    }

    #[test]
    fn behind_a_damaged_segment_the_next_one_says_where_it_begins() {
        let (identity, entries) = entries();
        let start = |base| Line::Start(Start { identity, segment: 2, base });
        let mut follow = Follow::after(Head::EMPTY, false);
        follow.take(Line::Entry(entries[0].clone())).unwrap();
        follow.begin_segment(false);
        assert!(follow.open_entry().is_none(), "what did not end is nothing");
        follow.take(start(head(2, 2))).unwrap();
        assert!(follow.take(start(head(3, 3))).is_err(), "it is said once");
        follow.take(Line::Entry(entries[2].clone())).unwrap();
        assert_eq!(follow.open_entry(), Some(&entries[2]));
        follow.take(commit(3, 3)).unwrap();
        assert_eq!((follow.head(), follow.is_sealed()), (head(3, 3), false));
        follow.take(Line::Sealed(head(3, 3))).unwrap();
        assert!(follow.is_sealed());
        follow.begin_segment(true);
        assert!(!follow.is_sealed());
        assert!(follow.take(start(head(4, 4))).is_err(), "it has to go on where that one ended");
        follow.take(start(head(3, 3))).unwrap();
    }
}
