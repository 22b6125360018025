//! The status of an instance: the worst of its checks and of its node's.
//!
//! Not here: `serfHealth` and holds, which the views add.

use std::fmt;

use super::{Status, kind::Kind, state::Check};

/// What is shown of an instance, from best to worst. Maintenance is an operator's word and beats what checks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shown {
    /// The worst check has this status.
    Status(Status),
    /// There is a maintenance check.
    Maintenance,
}

impl Shown {
    /// The word for it, as Consul has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status(status) => status.as_str(),
            Self::Maintenance => "maintenance",
        }
    }

    /// As a status: what is in maintenance counts as critical.
    pub const fn status(self) -> Status {
        match self {
            Self::Status(status) => status,
            Self::Maintenance => Status::Critical,
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Status> for Shown {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<&Check> for Shown {
    fn from(check: &Check) -> Self {
        match check.spec().kind() {
            Kind::Maintenance => Self::Maintenance,
            _ => Self::Status(check.status()),
        }
    }
}

/// The status of an instance from its own checks and those of its node. Without any it is passing.
pub fn aggregate<T: Into<Shown>>(instance: impl IntoIterator<Item = T>, node: impl IntoIterator<Item = T>) -> Shown {
    instance.into_iter().chain(node).map(Into::into).max().unwrap_or(Shown::Status(Status::Passing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check::spec::Spec, time::Moment};
    use Status::*;

    #[test]
    fn the_worst_counts_and_maintenance_beats_all() {
        const MAINTENANCE: Shown = Shown::Maintenance;
        let [passing, warning, critical] = [Passing, Warning, Critical].map(Shown::Status);
        for (instance, node, want, word, status) in [
            (&[][..], &[][..], passing, "passing", Passing),
            (&[passing, warning], &[passing], warning, "warning", Warning),
            (&[passing], &[critical], critical, "critical", Critical),
            (&[critical, warning], &[], critical, "critical", Critical),
            (&[critical], &[MAINTENANCE], MAINTENANCE, "maintenance", Critical),
            (&[MAINTENANCE, passing], &[passing], MAINTENANCE, "maintenance", Critical),
        ] {
            let shown = aggregate(instance.iter().copied(), node.iter().copied());
            assert_eq!((shown, shown.as_str(), shown.status()), (want, word, status), "{instance:?} {node:?}");
        }
    }

    #[test]
    fn a_maintenance_check_is_known_by_its_kind() {
        let check = Check::new(Spec::maintenance(), Moment::ZERO);
        assert_eq!(Shown::from(&check), Shown::Maintenance);
        assert_eq!(aggregate([&check], []), Shown::Maintenance);
    }
}
