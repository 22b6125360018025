//! docs/configuration.md is made from the table of settings and from what is written here about blocks and files.

use std::path::Path;

use super::super::setting::{self, SETTINGS};

/// Set LOBBY_TEST_UPDATE=1 to write the file anew.
#[test]
fn the_reference_in_docs_is_this_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let want = reference();
    if std::env::var_os("LOBBY_TEST_UPDATE").is_some() {
        std::fs::write(&path, &want).unwrap();
    }
    let got = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(got == want, "docs/configuration.md is not what the table gives: run this test with LOBBY_TEST_UPDATE=1");
}

fn reference() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         This page is made from the table in the code and compared with it by a test.\n\n\
         Every setting is an environment variable (`NAME`, or `LOBBY_NAME`, which wins), a flag (`--name`, in lower case \
         with dashes; `-name` works too) and a key of the TOML file named by `--config` or `LOBBY_CONFIG`. Flags win over \
         the environment, the environment over the file. An empty value counts as not given; only an empty EXCHANGE_KEY is \
         an error. A flag for a BOOL alone means true; a value is joined to it, as in `--register=false`. So is a value that \
         begins with two dashes to any flag. Unknown flags and keys are errors that name the nearest known one.\n\n\
         `lobbyd --check-config` says what is wrong (exit status 64), `lobbyd --print-config` prints every value and where \
         it comes from, without secrets. `lobbyd --dev` starts a throw-away agent: temporary folder, free ports where none \
         is given, a name of its own. A damaged `DATA_DIR/node.key` ends a start with 64 too, so that no unit tries for \
         ever.\n",
    );
    for (group, heading) in setting::GROUPS {
        text.push_str(&format!(
            "\n## {heading}\n\n| variable | flag | in the file | default | meaning |\n|---|---|---|---|---|\n"
        ));
        for setting in SETTINGS.iter().filter(|setting| setting.group() == *group) {
            let default = if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
            let help = setting.help.replace('|', "\\|");
            let (name, flag, path, value) = (setting.name, setting.flag(), setting.path, setting.value.replace('|', "\\|"));
            text.push_str(&format!("| `{name}` | `--{flag} {value}` | `{path}` | {default} | {help} |\n"));
        }
    }
    text.push_str(TOKENS);
    text.push_str(HOOKS);
    text.push_str(HANDLERS);
    text.push_str(TEMPLATES);
    text.push_str(PROXY);
    text
}

const TOKENS: &str = "
## Named tokens

TOKENS_FILE is TOML: any number of `[[token]]` blocks, up to 1024, 1 MiB in all. With it, or with TOKEN, requests without a
good token may nothing but see `ok` and `warm` in `/v1/health`. TOKEN may do everything. The file is read at the start and again
on SIGHUP or `lobbyctl reload`, as are the certificates. A file that is bad then is named, and what it held before stays in
use, while the good ones change; labels are then left as they were. Give it mode 0600.

| key | default | meaning |
|---|---|---|
| `name` | | Name in messages, each its own. |
| `secret` | | The token, visible ASCII. |
| `secret_sha256` | | Instead of it: its SHA-256, 64 hexadecimal digits, as `printf %s SECRET \\| sha256sum` prints. For long random secrets only. |
| `read` | `true` | May see lists, nodes, services, metrics. |
| `write` | `[]` | Services it may register, change and remove: names, or the begin of names with a star behind it, such as `[\"web-*\", \"db\"]`; `[\"*\"]` is all of them, and the labels of the node. Upper and lower case differ. |
| `operator` | `false` | May use the operator verbs, and change labels. |
";

const HOOKS: &str = "
## Hooks

Beside CALLBACK, the file may hold any number of `[[hook]]` blocks, each with its own times and filter. One failing or
hanging hook does not stop the others. The list of packets, compact JSON, is on the command's stdin. The command gets our
environment without the secrets: TOKEN, GOSSIP_KEY, EXCHANGE_KEY, NATS_URL, and the passwords, tokens and seeds of brokers.

| key | default | meaning |
|---|---|---|
| `command` | | Program and arguments: one text, split at blanks, or a list of texts. No shell. |
| `name` | the program | Name in the log. |
| `cooldown` | `15` | Least seconds between the end of a run and the next. |
| `first_run_delay` | `30` | Least seconds from the start of the agent to the first run. |
| `timeout` | `60` | A run that takes longer is killed with everything it started. |
| `labels` | | Only hosts with any of these labels, a comma list or a list of texts. |
| `prefixes` | | Only hosts with a label that starts with any of these. |
";

const HANDLERS: &str = "
## Event handlers

A handler runs a program on what happens: `--on 'member-join,member-failed=/usr/local/bin/notify --all'`. Before the first
`=` stand the events, behind it program and arguments, split at blanks, no shell. The flag is given once for each handler;
`ON` holds one a line; `on` in the file is a list. ON_COOLDOWN, ON_FIRST_RUN_DELAY and ON_TIMEOUT are for all of these.

| event | when |
|---|---|
| `member-join`, `member-leave`, `member-failed` | a node came, said goodbye, was lost |
| `member-update`, `member-reap` | its labels changed, a failed one was forgotten |
| `member-*` | any of these |
| `service-up`, `service-down`, `service-update`, `service-*` | the same of services |
| `user`, `user:NAME` | a user event, one of this name |
| `query`, `query:NAME` | a query, one of this name; what the program prints is the answer |
| `*` | everything |

The file may also hold `[[handler]]` blocks, each with times of its own. What a handler finds in its environment and on its
stdin is in [handlers.md](handlers.md).

| key | default | meaning |
|---|---|---|
| `on` | | The events, a comma list or a list of texts. |
| `command` | | Program and arguments: one text, split at blanks, or a list of texts. No shell. |
| `name` | the program | Name in the log. |
| `cooldown` | `0` | Least seconds between the end of a run and the next. |
| `first_run_delay` | `0` | Least seconds from the start of the agent to the first run. |
| `timeout` | `60` | A run that takes longer is killed with everything it started. |
";

const PROXY: &str = "
## Proxy

HAProxy, nginx and files of backends that are kept in step. `[proxy]` is one table, whose keys are in [proxy.md](proxy.md); six
lines are a proxy that serves:

```toml
[proxy.haproxy]
config = \"/run/lobby/haproxy.cfg\"
manage = true

[proxy.service.web]
port = 8080
```

`synapse = FILE` reads a file of Synapse instead, `nerve = FILE` one of Nerve. The table and the files it names are read again on
SIGHUP or `lobbyctl reload`; if anything in them is bad then, what was before stays in use, and if nothing has changed, nothing is
touched. HAProxy and nginx go on when lobbyd stops. A managed HAProxy ends only when the table does not name it any more.

`lobbyd proxy --config FILE` runs the table of such a file without an agent: no listener, no exchange, no DATA_DIR. So do
`lobbyd proxy --synapse FILE`, `--nerve FILE`, or a link to `lobbyd` that is called `synapse` (`-c FILE`, `SYNAPSE_CONFIG`,
`DEBUG`) or `nerve` (`-c FILE`, `-i ID`, `-k`, `NERVE_CONFIG`, `NERVE_INSTANCE_ID`, `NERVE_CHECK_CONFIG`). The catalog is asked
from the agent at HOST, PORT or SOCKET with TOKEN, `PROTO` and `CA_CERT`. SIGTERM ends it (0), SIGHUP reads the files again; a bad
file is status 64.
";

const TEMPLATES: &str = "
## Templates

Files that follow the catalog, one or many for each `[[template]]` block; what they can say is in
[templates.md](templates.md). They are read again, with the texts of the templates and `TEMPLATE_…`, on SIGHUP or
`lobbyctl reload`; if anything in them is bad then, all of those before stay in use. Times are texts such as `\"300ms\"`,
`\"1h2m\"`. Relative paths begin at the agent's working folder, which for a systemd unit is `/`.

| key | default | meaning |
|---|---|---|
| `source`, `contents` | | The template: a file, or the text itself. One of them. |
| `destination` | | The file to write. With `for_each` a template of its own, such as `/etc/sites/{{.Name}}.conf`. |
| `for_each` | | One file for each of something: `\"service\"`, `\"node\"` or `{ node = \"SELECTOR\" }`. |
| `check` | | Run before the file is put in place, with `{{.Path}}` the new text: if it fails, the old file stays. A text, a list, or a table as for `exec`, with a `timeout` above 0. Other braces in it are an error. |
| `command`, `command_timeout` | none, `30s` | Run after the file changed. A text with blanks is for `sh -c`; one word or a list is run as it stands. With the time `0` it goes on in the background. The program is looked for in the agent's `PATH`, whatever `env` gives it. |
| `exec` | | Instead of both, and before them: `{ command = …, timeout = …, env = { pristine, custom, allowlist, denylist } }`. |
| `roll_back` | `false` | If the command fails, put the last good file back and run it again. Not for one in the background. |
| `wait` | TEMPLATE_WAIT | Gather changes: `\"2s:10s\"` is until none came for 2 s, at most 10 s. |
| `perms`, `user`, `group` | as they are, `0644` | Mode in octal, owner by name or number. |
| `backup` | `false` | Keep the file before as `DESTINATION.bak`. |
| `create_dest_dirs` | `true` | Make missing folders, mode 0755. |
| `left_delimiter`, `right_delimiter` | `{{`, `}}` | What stands around actions; two that differ. Not in `destination` and `check`. |
| `error_on_missing_key` | `false` | Whether a key that a map has not is an error; else it prints as nothing. |
| `function_denylist` | `[]` | Functions that the template may not call, as globs. |
| `sandbox_path` | | `file` reads below this folder only. |
";
