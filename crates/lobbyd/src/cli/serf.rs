//! Flags of `serf agent`, for people whose fingers know them: what is ours instead.
//!
//! Asked only when the arguments are wrong, so nothing of ours is overshadowed. More in docs/migrate-from-serf.md.

use std::ffi::OsString;

/// A flag of `serf agent`, and what to type here.
const FLAGS: &[(&str, &str)] = &[
    ("node", "--hostname NAME"),
    ("bind", "--gossip-addr ADDRESS"),
    ("advertise", "--gossip-advertise ADDRESS"),
    ("retry-join", "--join ADDRESS, which is always retried"),
    ("tag", "--labels KEY:VALUE,KEY:VALUE"),
    ("role", "--labels role:NAME"),
    ("encrypt", "GOSSIP_KEY in the environment"),
    ("keyring-file", "--data-dir FOLDER, where the keys are kept too"),
    ("snapshot", "--data-dir FOLDER"),
    ("rejoin", "--data-dir FOLDER"),
    ("discover", "--gossip-beacon GROUP:PORT"),
    ("event-handler", "--on SPECS=COMMAND"),
    ("profile", "--gossip-profile NAME"),
    ("rpc-addr", "--host ADDRESS and --port PORT"),
    ("rpc-auth", "TOKEN in the environment"),
    ("log-level", "--log LEVEL"),
    ("config-file", "--config FILE"),
    ("config-dir", "--config FILE"),
];

/// What is ours for the first flag of Serf's among these arguments.
pub(crate) fn hint(args: impl Iterator<Item = OsString>) -> Option<String> {
    args.skip(1).find_map(|arg| {
        let flag = arg.to_str()?.strip_prefix('-')?;
        let name = flag.trim_start_matches('-').split('=').next()?;
        let (_, ours) = FLAGS.iter().find(|(serfs, _)| *serfs == name)?;
        Some(format!("Serf's -{name} is {ours} here"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    #[test]
    fn every_flag_of_serfs_is_wrong_and_ours_exists() {
        for (serfs, ours) in FLAGS {
            let args = ["lobbyd".to_owned(), format!("-{serfs}=x")];
            assert!(command().try_get_matches_from(&args).is_err(), "{serfs}");
            assert_eq!(hint(args.iter().map(OsString::from)), Some(format!("Serf's -{serfs} is {ours} here")));
            let command = command();
            for flag in ours.split_whitespace().filter_map(|word| word.strip_prefix("--")) {
                let is_flag =
                    |arg: &clap::Arg| arg.get_long() == Some(flag) || arg.get_all_aliases().unwrap_or_default().contains(&flag);
                assert!(command.get_arguments().any(is_flag), "{flag}");
            }
        }
        assert_eq!(hint(["lobbyd", "--host", "x"].iter().map(OsString::from)), None);
    }
}
