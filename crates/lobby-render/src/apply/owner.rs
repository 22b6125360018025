//! Mode and owner of a file. Decides which ones a new file gets: those that are configured, else those of the file before it.
//!
//! Names are looked for in /etc/passwd and /etc/group only; users that come from elsewhere are given by number. Access lists
//! and other attributes of the old file are not carried over.

use std::{
    fs::{File, Metadata, Permissions},
    io::{BufRead, BufReader, Read},
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::Path,
};

use super::ApplyError;

/// Mode of a file that was not there, unless one is configured: consul-template's.
const MODE: u32 = 0o644;

/// Most bytes read of /etc/passwd or /etc/group: a hundred thousand users.
const NAMES_BYTES: u64 = 16 * 1024 * 1024;

/// What a file is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    mode: u32,
    user: Want,
    group: Want,
}

/// An id, and whether it must be that one: what is only kept may fail to be.
#[derive(Debug, Clone, Copy)]
struct Want {
    id: Option<u32>,
    must: bool,
}

impl Owner {
    /// As configured, else as the old file has it.
    pub(super) fn wanted(
        perms: Option<u32>,
        user: Option<&str>,
        group: Option<&str>,
        old: Option<&Metadata>,
    ) -> Result<Self, ApplyError> {
        let want = |name: Option<&str>, kind, file, kept: Option<u32>| match name {
            Some(name) => Ok(Want { id: Some(id(name, kind, file)?), must: true }),
            None => Ok(Want { id: kept, must: false }),
        };
        Ok(Self {
            mode: perms.unwrap_or_else(|| old.map_or(MODE, Metadata::mode)) & 0o7777,
            user: want(user, "user", "/etc/passwd", old.map(Metadata::uid))?,
            group: want(group, "group", "/etc/group", old.map(Metadata::gid))?,
        })
    }

    /// Whether a file has all that is configured.
    pub(super) fn is_that_of(&self, file: &Metadata) -> bool {
        let is = |want: Want, id| want.id.is_none_or(|wanted| wanted == id);
        file.mode() & 0o7777 == self.mode && is(self.user, file.uid()) && is(self.group, file.gid())
    }

    /// What of a file is not as configured, for people.
    pub(super) fn change_of(&self, file: &Metadata) -> Option<String> {
        let mode = file.mode() & 0o7777;
        let mut changes = Vec::new();
        if mode != self.mode {
            changes.push(format!("mode {mode:04o} -> {:04o}", self.mode));
        }
        for (kind, want, id) in [("user", self.user, file.uid()), ("group", self.group, file.gid())] {
            changes.extend(want.id.filter(|want| *want != id).map(|want| format!("{kind} {id} -> {want}")));
        }
        (!changes.is_empty()).then(|| changes.join(", "))
    }

    /// Gives a new file its owner, then its mode. What only was to be kept and cannot be is warned about.
    pub(super) fn give(&self, file: &File, path: &Path, destination: &Path) -> Result<(), ApplyError> {
        let now = file.metadata().map_err(ApplyError::io("look at", path))?;
        let mut mode = self.mode;
        let user = self.user.id.filter(|id| *id != now.uid());
        let group = self.group.id.filter(|id| *id != now.gid());
        for (user, group, must) in [(None, group, self.group.must), (user, None, self.user.must)] {
            match (user, group) {
                (None, None) => {}
                _ => match fchown(file, user, group) {
                    Err(source) if must => return Err(ApplyError::io("change the owner of", path)(source)),
                    Err(err) => {
                        tracing::warn!(?destination, "the new file cannot have the owner of the old one: {err}");
                        // Rights to act as the owner were another's.
                        mode &= 0o777;
                    }
                    Ok(()) => {}
                },
            }
        }
        file.set_permissions(Permissions::from_mode(mode)).map_err(ApplyError::io("change the mode of", path))
    }
}

/// A number as it is, or the third field of the line of this name.
fn id(name: &str, kind: &'static str, file: &'static str) -> Result<u32, ApplyError> {
    let unknown = || ApplyError::Unknown { kind, name: name.to_owned(), file };
    if let Ok(id) = name.parse() {
        // All ones mean "leave it" to the system.
        return if id == u32::MAX { Err(unknown()) } else { Ok(id) };
    }
    let names = File::open(file).map_err(ApplyError::io("read", Path::new(file)))?;
    let lines = BufReader::new(names.take(NAMES_BYTES)).split(b'\n').map_while(Result::ok);
    let mut found = lines.filter_map(|line| {
        let line = String::from_utf8(line).ok()?;
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    });
    found.next().ok_or_else(unknown)
}
