//! Users and groups by name. Decides where names are looked up: in the files of the system, without asking a directory service.

use lobby_template::CallError;

/// The number of a user, by name or as it is.
pub(super) fn uid(name: &str) -> Result<u32, CallError> {
    number("/etc/passwd", name).ok_or_else(|| CallError(format!("user: unknown user {name}")))
}

/// The number of a group, by name or as it is.
pub(super) fn gid(name: &str) -> Result<u32, CallError> {
    number("/etc/group", name).ok_or_else(|| CallError(format!("group: unknown group {name}")))
}

/// Both files have the name first and the number third.
fn number(file: &str, name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let in_file = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)).flatten()?.parse().ok()
    });
    in_file.or_else(|| name.parse().ok())
}
