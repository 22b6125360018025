//! Serf's flags, for people whose fingers know them: what is ours instead.
//!
//! Asked only when the arguments are wrong, so nothing of ours is overshadowed.

use std::ffi::OsString;

/// A flag of Serf's command line, and what to type here.
const FLAGS: &[(&str, &str)] = &[
    ("rpc-addr", "--host and --port (HOST, PORT)"),
    ("rpc-auth", "--token (TOKEN)"),
    ("tag", "--label KEY:VALUE"),
    ("status", "--state STATE"),
    ("format", "--json"),
    ("install", "keys install KEY"),
    ("use", "keys use KEY"),
    ("remove", "keys remove KEY"),
    ("list", "keys list"),
];

/// What is ours for the first flag of Serf's among these arguments.
pub(crate) fn hint(args: impl Iterator<Item = OsString>) -> Option<String> {
    args.skip(1).take_while(|arg| arg != "--").find_map(|arg| {
        // Serf's have one dash. What has two may be ours.
        let name = arg.to_str()?.strip_prefix('-')?.split('=').next()?;
        let (_, ours) = FLAGS.iter().find(|(serfs, _)| *serfs == name)?;
        Some(format!("Serf's -{name} is {ours} here"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_flag_of_serfs_is_named() {
        for (args, want) in [
            (&["lobbyctl", "members", "-rpc-addr=127.0.0.1:7373"][..], Some("-rpc-addr is --host and --port (HOST, PORT)")),
            (&["lobbyctl", "members", "-x", "-tag", "role=web"], Some("-tag is --label KEY:VALUE")),
            (&["lobbyctl", "event", "x", "--service", "web", "--tag"], None),
            (&["lobbyctl", "query", "-node", "a", "x"], None),
            (&["lobbyctl", "query", "--", "-tag"], None),
            (&["lobbyctl", "tag", "-"], None),
        ] {
            let got = hint(args.iter().map(OsString::from));
            assert_eq!(got, want.map(|want| format!("Serf's {want} here")), "{args:?}");
        }
    }
}
