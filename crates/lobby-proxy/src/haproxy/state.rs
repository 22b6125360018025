//! What a running HAProxy is like. Decides how its answers to `show info`, `show stat` and `show servers state` are read.
//!
//! Columns go by their names, so older and newer releases may have fewer and more. Only what `plan` needs is kept.

use std::{collections::BTreeMap, net::IpAddr};

use super::version::Version;

/// One process at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// What it can do.
    pub version: Version,
    /// Another one: a reload happened. 0 if it is not said.
    pub pid: u32,
    /// By name, those that are not `disabled` in the file.
    pub frontends: BTreeMap<String, Frontend>,
    /// Servers of each backend, by name.
    pub backends: BTreeMap<String, BTreeMap<String, RunningServer>>,
}

/// Whether a frontend of a running HAProxy takes connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frontend {
    /// It does.
    Open,
    /// `disable frontend`: it can be enabled again.
    Paused,
    /// `shutdown frontend`: only another process has it again.
    Stopped,
}

/// One server of a running HAProxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunningServer {
    /// None: a host name that is not resolved.
    pub address: Option<IpAddr>,
    /// 0: not said.
    pub port: u16,
    /// The host name on its line.
    pub fqdn: Option<String>,
    /// HAProxy's number of it.
    pub id: Option<u32>,
    /// As set.
    pub weight: u32,
    /// As on its line.
    pub initial_weight: u32,
    /// Takes something, nothing new, nothing.
    pub admin: Admin,
    /// Checks say that it can take requests, or nobody checks it.
    pub is_up: bool,
    /// Has a check that was switched off, or not yet on.
    pub lacks_check: bool,
    /// Takes traffic only when no other does.
    pub is_backup: bool,
    /// What stands in its cookie.
    pub cookie: Option<String>,
    /// Requests that it works on or that wait for it; None: not said.
    pub n_busy: Option<u64>,
}

impl RunningServer {
    /// Takes requests now.
    pub fn is_usable(&self) -> bool {
        self.admin == Admin::Ready && self.is_up
    }

    /// Nothing that it works on would be cut.
    pub fn is_idle(&self) -> bool {
        self.n_busy == Some(0)
    }
}

/// What people or we want of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Admin {
    /// Takes requests if its checks say so.
    #[default]
    Ready,
    /// Takes nothing new.
    Drain,
    /// Takes nothing, is not checked.
    Maint,
}

impl Admin {
    /// The word in `set server … state`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maint => "maint",
        }
    }

    /// From `srv_admin_state`. Only what was forced (0x01, 0x08) can be taken back through the socket: not what comes from a tracked
    /// server (0x02, 0x10) or from resolving names (0x20), and 0x04 only remembers `disabled` on the line.
    fn from_bits(bits: u32) -> Self {
        match (bits & 0x01 != 0, bits & 0x08 != 0) {
            (true, _) => Self::Maint,
            (false, true) => Self::Drain,
            (false, false) => Self::Ready,
        }
    }
}

/// An answer that is not HAProxy's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{command}: expected {expected}, got {got:?}")]
pub struct InvalidState {
    /// The question.
    pub command: &'static str,
    /// What its answer should have.
    pub expected: &'static str,
    /// How the answer starts.
    pub got: String,
}

fn invalid(command: &'static str, expected: &'static str, got: &str) -> InvalidState {
    // Enough for `Permission denied` and the like.
    InvalidState { command, expected, got: got.trim().chars().take(120).collect() }
}

impl Running {
    /// From the answers to `show info`, `show stat` and `show servers state`.
    pub fn parse(info: &str, stat: &str, servers: &str) -> Result<Self, InvalidState> {
        let version = Version::from_info(info).ok_or_else(|| invalid("show info", "a line Version:", info))?;
        let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).and_then(|pid| pid.trim().parse().ok());
        let mut running = Self { version, pid: pid.unwrap_or(0), frontends: BTreeMap::new(), backends: BTreeMap::new() };
        running.read_servers(servers)?;
        running.read_stat(stat)?;
        Ok(running)
    }

    /// Format 1: fields between blanks, `-` for none.
    fn read_servers(&mut self, text: &str) -> Result<(), InvalidState> {
        let lines = || text.lines().map(str::trim_end);
        let head = lines().find_map(|line| line.strip_prefix("# ").filter(|line| line.contains("srv_name")));
        let head = head.ok_or_else(|| invalid("show servers state", "a line with the names of columns", text))?;
        let columns = Columns::new(head.split(' '));
        for line in lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split(' ').collect();
            let field = |name: &str| columns.field(&fields, name).filter(|text| *text != "-");
            let (Some(backend), Some(name)) = (field("be_name"), field("srv_name")) else { continue };
            let number = |name: &str| field(name).and_then(|text| text.parse::<u32>().ok());
            let check = number("srv_check_state").unwrap_or(0);
            let server = RunningServer {
                address: field("srv_addr").and_then(|text| text.parse().ok()),
                port: field("srv_port").and_then(|text| text.parse().ok()).unwrap_or(0),
                fqdn: field("srv_fqdn").map(str::to_owned),
                id: number("srv_id"),
                weight: number("srv_uweight").unwrap_or(1),
                initial_weight: number("srv_iweight").unwrap_or(1),
                admin: Admin::from_bits(number("srv_admin_state").unwrap_or(0)),
                // 0: stopped, 3: stopping (its check wants no new requests).
                is_up: !matches!(number("srv_op_state"), Some(0 | 3)),
                // 0x02: configured, 0x04: switched on.
                lacks_check: check & 0x06 == 0x02,
                ..RunningServer::default()
            };
            self.backends.entry(backend.to_owned()).or_default().insert(name.to_owned(), server);
        }
        Ok(())
    }

    /// Comma-separated. Names every backend, and what `show servers state` lacks.
    fn read_stat(&mut self, text: &str) -> Result<(), InvalidState> {
        let mut rows = Rows(text);
        let head = rows.next().filter(|row| row.iter().any(|name| name.trim_start_matches(['#', ' ']) == "pxname"));
        let head = head.ok_or_else(|| invalid("show stat", "a line with the names of columns", text))?;
        let columns = Columns::new(head.iter().map(|name| name.trim_start_matches(['#', ' '])));
        for row in rows {
            let fields: Vec<&str> = row.iter().map(String::as_str).collect();
            let field = |name: &str| columns.field(&fields, name).filter(|text| !text.is_empty());
            let (Some(backend), Some(name)) = (field("pxname"), field("svname")) else { continue };
            if name == "FRONTEND" {
                let now = match field("status") {
                    Some("PAUSED") => Frontend::Paused,
                    Some("STOP") => Frontend::Stopped,
                    _ => Frontend::Open,
                };
                self.frontends.insert(backend.to_owned(), now);
            }
            if name == "BACKEND" {
                self.backends.entry(backend.to_owned()).or_default();
            }
            let Some(server) = self.backends.get_mut(backend).and_then(|servers| servers.get_mut(name)) else { continue };
            let number = |name: &str| field(name).and_then(|text| text.parse::<u64>().ok());
            server.is_backup = number("bck").is_some_and(|n| n > 0);
            server.cookie = field("cookie").map(str::to_owned);
            server.n_busy = number("scur").map(|n| n.saturating_add(number("qcur").unwrap_or(0)));
        }
        Ok(())
    }
}

/// Places of columns by name.
struct Columns<'a>(BTreeMap<&'a str, usize>);

impl<'a> Columns<'a> {
    fn new(names: impl Iterator<Item = &'a str>) -> Self {
        Self(names.enumerate().map(|(idx, name)| (name.trim(), idx)).collect())
    }

    fn field<'b>(&self, fields: &[&'b str], name: &str) -> Option<&'b str> {
        self.0.get(name).and_then(|idx| fields.get(*idx)).copied()
    }
}

/// Rows of comma-separated text; a field may stand in quotes, and a quote in it is doubled.
struct Rows<'a>(&'a str);

impl Iterator for Rows<'_> {
    type Item = Vec<String>;

    fn next(&mut self) -> Option<Vec<String>> {
        let mut row = vec![String::new()];
        let mut is_quoted = false;
        let mut chars = self.0.char_indices().peekable();
        chars.peek()?;
        while let Some((at, c)) = chars.next() {
            let field = row.last_mut().expect("a row starts with one field");
            match c {
                '"' if is_quoted && chars.peek().is_some_and(|(_, next)| *next == '"') => {
                    chars.next();
                    field.push('"');
                }
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => row.push(String::new()),
                '\n' if !is_quoted => {
                    self.0 = &self.0[at + 1..];
                    return Some(row);
                }
                c => field.push(c),
            }
        }
        self.0 = "";
        Some(row)
    }
}

#[cfg(test)]
mod tests;
