//! Copies of the file that is replaced: the backup that people asked for, and the last good one for a roll back. Decides what
//! counts as last good: the file before the first one that was not yet settled.
//!
//! That copy also tells a later process that a file was put in place, and that nobody knows whether its command was run. In
//! a folder that others may write, one of somebody else is not believed: it could be any text, put in place with our rights.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::Path,
};

use rustix::process::geteuid;

use super::{
    ApplyError, RolledBack,
    place::{Place, remove},
    step::Step,
    step::at,
};

/// The file that is there becomes the backup, in place of an older one.
pub(super) fn back_up(place: &Place) -> Result<(), ApplyError> {
    link(place, &place.backup())?;
    at(Step::BackedUp);
    Ok(())
}

/// Keeps what is there, or that nothing is; whether this did it, not an earlier apply.
pub(super) fn keep_last(place: &Place, is_there: bool) -> Result<bool, ApplyError> {
    if is_unsettled(place) {
        return Ok(false);
    }
    if is_there {
        link(place, &place.beside("last"))?;
    } else {
        let none = place.beside("none");
        // Not one of ours: that would be unsettled.
        remove(&none).map_err(ApplyError::io("remove", &none))?;
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&none).map_err(ApplyError::io("make", &none))?;
    }
    at(Step::LastKept);
    Ok(true)
}

/// Whether a file was put in place and neither settled nor rolled back.
pub(super) fn is_unsettled(place: &Place) -> bool {
    ["last", "none"].iter().any(|what| is_believed(place, &place.beside(what)))
}

/// Whether there is such a copy, and nobody else can have put it there.
fn is_believed(place: &Place, copy: &Path) -> bool {
    let Ok(there) = fs::symlink_metadata(copy) else { return false };
    let folder = copy.parent().and_then(|folder| fs::metadata(folder).ok());
    let is_open = folder.is_none_or(|folder| folder.mode() & 0o022 != 0);
    let is_known = |uid: u32| {
        // The old file is a link of its owner's, whom the new one has been given.
        uid == 0 || uid == geteuid().as_raw() || fs::symlink_metadata(&place.file).is_ok_and(|file| file.uid() == uid)
    };
    there.is_file() && (!is_open || is_known(there.uid()))
}

/// The file that is in place is good.
pub(super) fn settle(place: &Place) -> Result<(), ApplyError> {
    for what in ["last", "none"] {
        let copy = place.beside(what);
        remove(&copy).map_err(ApplyError::io("remove", &copy))?;
        at(Step::Settled);
    }
    Ok(())
}

/// Puts the last good file back.
pub(super) fn roll_back(place: &Place) -> Result<RolledBack, ApplyError> {
    let (last, none) = (place.beside("last"), place.beside("none"));
    let rolled = if is_believed(place, &last) {
        fs::rename(&last, &place.file).map_err(ApplyError::io("put the last good file back as", &place.file))?;
        RolledBack::Restored(place.file.clone())
    } else if is_believed(place, &none) {
        remove(&place.file).map_err(ApplyError::io("remove", &place.file))?;
        RolledBack::Removed(place.file.clone())
    } else {
        return Ok(RolledBack::NoneKept);
    };
    at(Step::RolledBack);
    place.sync_folder();
    // Also a last good one that the file was a link of: then the rename did nothing.
    settle(place)?;
    Ok(rolled)
}

/// Makes the file known by a second name, replacing what had that name. Where there are no links, or not for this file, it
/// is copied.
fn link(place: &Place, name: &Path) -> Result<(), ApplyError> {
    let link = place.beside("link");
    remove(&link).map_err(ApplyError::io("remove", &link))?;
    let made = fs::hard_link(&place.file, &link).or_else(|_| copy(&place.file, &link));
    at(Step::Linked);
    let renamed = made.and_then(|()| fs::rename(&link, name));
    // Nothing is renamed where both names are the same file already.
    let _ = remove(&link);
    renamed.map_err(ApplyError::io("keep the old file as", name))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = File::open(from)?;
    let there = from.metadata()?;
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut from, &mut to)?;
    // As far as this user may.
    let owned = fchown(&to, Some(there.uid()), Some(there.gid()));
    if owned.is_ok() {
        to.set_permissions(there.permissions())?;
    }
    to.sync_all()
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_copy_that_somebody_else_put_into_an_open_folder_is_not_believed() {
        let folder = std::env::temp_dir().join(format!("lobby-keep-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (place, _) = Place::find(&folder.join("a")).unwrap();
        let last = place.beside("last");
        fs::write(&place.file, "ours").unwrap();
        fs::write(&last, "theirs").unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o1777)).unwrap();
        assert!(is_unsettled(&place), "a copy of our own");
        // Only root can give a file away.
        if geteuid().is_root() {
            let give = |path: &Path| std::os::unix::fs::chown(path, Some(65_534), None).unwrap();
            give(&last);
            assert!(!is_unsettled(&place), "somebody else's");
            assert_eq!(roll_back(&place).unwrap(), RolledBack::NoneKept);
            assert!(keep_last(&place, true).unwrap());
            assert_eq!(fs::read(&last).unwrap(), b"ours");
            fs::remove_file(&last).unwrap();
            fs::write(&last, "theirs").unwrap();
            give(&last);
            give(&place.file);
            assert!(is_unsettled(&place), "of the owner whom the file has");
            fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
            std::os::unix::fs::chown(&place.file, Some(0), None).unwrap();
            assert!(is_unsettled(&place), "nobody else can write here");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
