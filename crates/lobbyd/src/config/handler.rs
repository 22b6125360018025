//! Handlers: ON, and the `[[handler]]` blocks of the file.
//!
//! ```toml
//! [[handler]]
//! on = "member-failed,user:deploy"       # or a list of texts
//! command = ["/usr/local/bin/notify", "--all"]   # or one text, split at blanks
//! name = "notify"                        # for the log; default: the program
//! cooldown = 5                           # seconds
//! first_run_delay = 10
//! timeout = 60
//! ```

use lobby::handler::{Handler, Specs};
use toml::Table;

use super::{ConfigError, Read, block::Block};

const KEYS: &[&str] = &["name", "on", "command", "cooldown", "first_run_delay", "timeout"];

/// Every handler: those of ON first.
pub(super) fn all(read: &Read<'_>) -> Result<Vec<Handler>, ConfigError> {
    let cooldown = read.seconds("ON_COOLDOWN")?;
    let first_delay = read.seconds("ON_FIRST_RUN_DELAY")?;
    let timeout = read.positive_seconds("ON_TIMEOUT")?;
    let lines = read.text("ON").lines().map(str::trim).filter(|line| !line.is_empty());
    let of_on = lines.map(|line| match line.parse::<Handler>() {
        Ok(handler) => Ok(Handler { cooldown, first_delay, timeout, ..handler }),
        Err(err) => Err(read.refuse_part("ON", line, format!("EVENTS=COMMAND ({err})"))),
    });
    of_on.chain(read.raw.handlers.iter().map(from_table)).collect()
}

/// The handler of one block.
fn from_table(table: &Table) -> Result<Handler, ConfigError> {
    let block = Block::new("handler", table, KEYS)?;
    let (name, command) = block.name_and_command()?;
    let events = block.list("on")?.unwrap_or_default();
    let specs: Specs =
        events.parse().map_err(|err| block.refuse("on", &format!("events, as one text or a list of texts ({err})")))?;
    Ok(Handler {
        name,
        specs,
        command,
        cooldown: block.seconds("cooldown", 0, 0.0)?,
        first_delay: block.seconds("first_run_delay", 0, 0.0)?,
        timeout: block.seconds("timeout", 60, 0.01)?,
    })
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::super::{
        Config, ConfigError,
        raw::{Origin, Raw},
        setting::by_name,
    };

    fn handlers(raw: Raw) -> Result<Vec<super::Handler>, ConfigError> {
        Config::from_raw(raw, false).map(|config| config.handlers)
    }

    fn environment(variables: &[(&str, &str)]) -> Raw {
        let mut raw = Raw::default();
        raw.read_environment(variables.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        raw
    }

    fn file(text: &str) -> Result<Vec<super::Handler>, ConfigError> {
        let mut raw = Raw::default();
        raw.read_file(Path::new("lobby.toml"), text)?;
        handlers(raw)
    }

    #[test]
    fn the_variable_holds_one_a_line_with_times_for_all() {
        let on = "member-*,user:deploy=/bin/a --x=1\n\n  query:load=b\n";
        let handlers = handlers(environment(&[("ON", on), ("ON_COOLDOWN", "5"), ("ON_TIMEOUT", "0.5")])).unwrap();
        assert_eq!(handlers.len(), 2);
        assert_eq!(handlers[0].command, ["/bin/a", "--x=1"]);
        assert_eq!(handlers[0].specs, "user:deploy,member-*".parse().unwrap());
        assert_eq!((handlers[1].name.as_str(), handlers[1].cooldown), ("b", Duration::from_secs(5)));
        assert_eq!((handlers[1].first_delay, handlers[1].timeout), (Duration::ZERO, Duration::from_millis(500)));
    }

    #[test]
    fn the_file_holds_a_list_and_blocks_with_times_of_their_own() {
        let text = "[events]\non = [\"user,query=a b\", \"*=c\"]\ncooldown = 5\n\
                    [[handler]]\non = [\"user:x\", \"query\"]\ncommand = [\"a\", \"b c\"]\ncooldown = 2\n\
                    [[handler]]\non = \"member-failed,member-reap\"\ncommand = \"d e\"\nname = \"n\"\nfirst_run_delay = 1\n";
        let handlers = file(text).unwrap();
        let names: Vec<_> = handlers.iter().map(|handler| (handler.name.as_str(), handler.cooldown.as_secs())).collect();
        assert_eq!(names, [("a", 5), ("c", 5), ("a", 2), ("n", 0)]);
        assert_eq!(handlers[2].command, ["a", "b c"]);
        assert_eq!((handlers[3].command.len(), handlers[3].timeout), (2, Duration::from_secs(60)));
        assert_eq!(handlers[3].specs, "member-reap,member-failed".parse().unwrap());
        for bad in [
            "[[handler]]\ncommand = \"x\"\n",
            "[[handler]]\non = \"*\"\n",
            "[[handler]]\non = \"joined\"\ncommand = \"x\"\n",
            "[[handler]]\non = 5\ncommand = \"x\"\n",
            "[[handler]]\non = \"*\"\ncommand = \"x\"\ntimeout = 0\n",
            "[handler]\ncommand = \"x\"\n",
        ] {
            assert!(file(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mistake_names_the_handler_the_event_and_what_is_accepted() {
        for (on, words) in [
            ("*=good\nmember-jon=x", &["ON", "member-jon=x", "\"member-jon\" is no event", "member-join"][..]),
            ("user:deploy", &["user:deploy", "EVENTS=COMMAND"]),
            ("user= ", &["EVENTS=COMMAND"]),
            ("=x", &["no events", "member-join"]),
        ] {
            let message = handlers(environment(&[("ON", on)])).err().unwrap().to_string();
            for word in words {
                assert!(message.contains(word) && !message.contains("good"), "{on:?}: {message}");
            }
        }
        let message = file("[[handler]]\non = \"joined\"\ncommand = \"x\"\n").err().unwrap().to_string();
        assert!(message.contains("handler.on") && message.contains("\"joined\" is no event"), "{message}");
    }

    #[test]
    fn what_is_printed_gives_the_same_handlers() {
        let mut raw = environment(&[("ON", "user:a,query=x \"y\"\n*=z")]);
        raw.set(by_name("ON_COOLDOWN").unwrap(), "3", Origin::Flag);
        raw.handlers = vec!["on = \"query\"\ncommand = [\"a b\"]".parse().unwrap()];
        let mut again = Raw::default();
        again.read_file(Path::new("printed"), &raw.print()).unwrap_or_else(|err| panic!("{err}: {}", raw.print()));
        assert_eq!(handlers(again).unwrap(), handlers(raw).unwrap());
    }
}
