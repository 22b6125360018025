//! Since when HAProxy's file has the structure that it has. Decides what a process that started at a known time was started
//! with, whatever became of the servers in the file meanwhile.

use std::time::SystemTime;

/// What is known of the file.
#[derive(Debug, Default)]
pub(super) struct Filed(Option<Known>);

#[derive(Debug)]
struct Known {
    skeleton: String,
    since: SystemTime,
    /// When it was changed last, by us.
    last: SystemTime,
}

impl Filed {
    /// It was put in place: `before` that it had been changed last then, and `now` it is. Without `now` it is not as it should be.
    pub(super) fn note(&mut self, skeleton: &str, before: Option<SystemTime>, now: Option<SystemTime>) {
        self.0 = match (self.0.take(), now) {
            (_, None) => None,
            // Nobody else wrote it meanwhile.
            (Some(known), Some(now)) if known.skeleton == skeleton && before == Some(known.last) => {
                Some(Known { last: now, ..known })
            }
            (_, Some(now)) => Some(Known { skeleton: skeleton.to_owned(), since: now, last: now }),
        };
    }

    /// Every process that has read it since then has this structure.
    pub(super) fn since(&self) -> Option<SystemTime> {
        self.0.as_ref().map(|known| known.since)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: u64) -> Option<SystemTime> {
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(second))
    }

    #[test]
    fn servers_do_not_change_it_and_everything_else_does() {
        let mut filed = Filed::default();
        assert_eq!(filed.since(), None);
        filed.note("a", at(1), at(1));
        assert_eq!(filed.since(), at(1), "found as it should be");
        filed.note("a", at(1), at(2));
        filed.note("a", at(2), at(3));
        assert_eq!(filed.since(), at(1), "only servers changed");
        filed.note("a", at(4), at(5));
        assert_eq!(filed.since(), at(5), "at 4 it was somebody else");
        filed.note("b", at(5), at(6));
        assert_eq!(filed.since(), at(6));
        filed.note("b", at(6), None);
        assert_eq!(filed.since(), None, "refused");
        filed.note("b", None, at(7));
        assert_eq!(filed.since(), at(7), "there was none");
    }
}
