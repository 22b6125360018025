//! Versions of HAProxy. Decides how one is read and what each can do; nothing else asks for numbers.

use std::{fmt, str::FromStr};

mod wording;

/// Branch and release, such as 2.6.12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 2
    pub major: u16,
    /// 6
    pub minor: u16,
    /// 12; 0 if it is not known.
    pub patch: u16,
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version of HAProxy: expected one such as 2.6 or 2.6.12")]
pub struct InvalidVersion(pub String);

impl FromStr for Version {
    type Err = InvalidVersion;

    /// Also what stands after the numbers is allowed: `2.6.12-1+deb12u1`, `3.0-dev3`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidVersion(text.chars().take(64).collect());
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut parts = text[..end].trim_end_matches('.').split('.').map(str::parse::<u16>);
        let mut next = || parts.next().transpose().map_err(|_| invalid());
        let (major, minor, patch) = (next()?.ok_or_else(invalid)?, next()?.ok_or_else(invalid)?, next()?.unwrap_or(0));
        Ok(Self { major, minor, patch })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What it can do at run time; the releases are those of the contract's table, checked in the tagged sources.
impl Version {
    /// A release, for comparisons.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor, patch: 0 }
    }

    /// From an answer to `show info`: the line `Version: 2.6.12-1+deb12u1`.
    pub fn from_info(info: &str) -> Option<Self> {
        info.lines().find_map(|line| line.strip_prefix("Version:"))?.trim().parse().ok()
    }

    /// From what `haproxy -v` prints: `HAProxy version 2.6.12-1+deb12u1 2026/10/17 …`, before 2.2 `HA-Proxy version …`.
    pub fn from_program(text: &str) -> Option<Self> {
        text.lines().find_map(|line| line.split_once("roxy version "))?.1.split_whitespace().next()?.parse().ok()
    }

    /// `add server`; with `check` on its line only from 2.5 on.
    pub fn can_add(self, has_check: bool) -> bool {
        self >= if has_check { Self::new(2, 5) } else { Self::new(2, 4) }
    }

    /// `add server` and `del server` for every server, those with checks and those of the file included.
    pub fn has_dynamic_servers(self) -> bool {
        self >= Self::new(2, 5)
    }

    /// `del server`; before 2.5 only for servers that were added at run time.
    pub fn can_delete(self) -> bool {
        self >= Self::new(2, 4)
    }

    /// `add server` and `del server` want `experimental-mode on` first, on the same connection.
    pub fn needs_experimental_mode(self) -> bool {
        self.can_delete() && self < Self::new(2, 6)
    }

    /// `wait DELAY srv-removable BACKEND/SERVER`
    pub fn can_wait(self) -> bool {
        self >= Self::new(3, 0)
    }

    /// `cookie` on the line of `add server`.
    pub fn has_dynamic_cookie(self) -> bool {
        self >= Self::new(3, 0)
    }

    /// `del server` closes idle connections to the server itself; after that somebody must wait for them.
    pub fn delete_purges_idle(self) -> bool {
        self.can_delete() && self < Self::new(3, 3)
    }

    /// The master's `reload` answers when it is done, with status and log.
    pub fn reload_is_synchronous(self) -> bool {
        self >= Self::new(2, 7)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_print() {
        let debian = Version { major: 2, minor: 6, patch: 12 };
        assert_eq!(Version::from_info("Name: HAProxy\nVersion: 2.6.12-1+deb12u1\nPid: 3\n"), Some(debian));
        assert_eq!(Version::from_program("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/"), Some(debian));
        let old = Version { major: 1, minor: 5, patch: 8 };
        assert_eq!(Version::from_program("HA-Proxy version 1.5.8 2014/10/31\nCopyright"), Some(old));
        assert_eq!(Version::from_info("Version: 3.0-dev3-12ab"), Some(Version::new(3, 0)));
        for text in ["", "Version: ", "Version: x", "Version: 2", "Version: 99999.1", "Name: HAProxy"] {
            assert_eq!(Version::from_info(text), None, "{text:?}");
            assert_eq!(Version::from_program(text), None, "{text:?}");
        }
    }

    #[test]
    fn each_release_can_what_the_contract_says() {
        type Row = (&'static str, [bool; 7]);
        // add, add with check, delete, every server, experimental, wait and cookie, idle purged
        const ROWS: [Row; 8] = [
            ("1.5.8", [false, false, false, false, false, false, false]),
            ("2.3.21", [false, false, false, false, false, false, false]),
            ("2.4.22", [true, false, true, false, true, false, true]),
            ("2.5.14", [true, true, true, true, true, false, true]),
            ("2.6.12", [true, true, true, true, false, false, true]),
            ("2.9.0", [true, true, true, true, false, false, true]),
            ("3.0.0", [true, true, true, true, false, true, true]),
            ("3.3.1", [true, true, true, true, false, true, false]),
        ];
        for (text, want) in ROWS {
            let version: Version = text.parse().unwrap();
            let has = [
                version.can_add(false),
                version.can_add(true),
                version.can_delete(),
                version.has_dynamic_servers(),
                version.needs_experimental_mode(),
                version.can_wait() && version.has_dynamic_cookie(),
                version.delete_purges_idle(),
            ];
            assert_eq!(has, want, "{text}");
        }
    }
}
