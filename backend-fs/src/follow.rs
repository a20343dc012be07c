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
