//! Each key: what it sets, what is set without it, and its older spellings.

use std::path::PathBuf;
use std::time::Duration;

use lobby_render::config::{Auth, Config, Consul, LogLevel, Partial, Process, Retry, Secret, Tls, template_from_toml};
use lobby_render::settings::{
    CommandSettings, Env, ExecSettings, ForEach, Settings, Stagger, TemplateSettings, TemplateSource, Wait,
};

use super::config;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn defaults() -> Config {
    Config {
        settings: Settings { templates: vec![], exec: None, wait: None, once: false, dry: false, rate: 100, stagger: None },
        process: Process {
            log_level: LogLevel::Warn,
            pid_file: None,
            kill_signal: Some(2),
            reload_signal: Some(1),
            parse_only: false,
            diff: false,
            err_on_failed_lookup: false,
        },
        consul: Consul {
            address: None,
            namespace: None,
            token: None,
            token_file: None,
            auth: None,
            tls: None,
            retry: Retry { enabled: true, attempts: 12, backoff: Duration::from_millis(250), max_backoff: seconds(60) },
            max_stale: seconds(2),
            block_query_wait: seconds(60),
        },
        keys_dir: None,
        warnings: vec![],
    }
}

fn template() -> TemplateSettings {
    TemplateSettings { number: 1, ..TemplateSettings::new(TemplateSource::File("a".into()), "b") }
}

fn command(argv: &[&str], timeout: u64) -> CommandSettings {
    let argv = argv.iter().map(|word| (*word).to_owned()).collect();
    CommandSettings { argv, timeout: seconds(timeout), env: Env::default() }
}

fn exec(argv: &[&str]) -> ExecSettings {
    ExecSettings {
        argv: command(argv, 0).argv,
        env: Env::default(),
        reload_signal: None,
        kill_signal: 2,
        kill_timeout: seconds(30),
        splay: Duration::ZERO,
    }
}

fn tls() -> Tls {
    Tls { verify: true, cert: None, key: None, ca_cert: None, ca_path: None, server_name: None }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn nothing_is_all_defaults() {
    assert_eq!(config(""), defaults());
    assert_eq!(config("consul {}\nwait {}\nexec {}\ntemplate = []\nkeys_dir = \"\"\npid_file = \"\""), defaults());
}

type Change<T> = fn(&mut T);

#[test]
fn top_keys() {
    let cases: &[(&str, Change<Config>)] = &[
        ("once = true", |config| config.settings.once = true),
        ("dry = true", |config| config.settings.dry = true),
        ("rate = 5", |config| config.settings.rate = 5),
        ("keys_dir = \"/k\"", |config| config.keys_dir = Some("/k".into())),
        ("wait { min = \"5s\" max = \"10s\" }", |config| config.settings.wait = Some(Wait { min: seconds(5), max: seconds(10) })),
        ("wait { min = \"5s\" }", |config| config.settings.wait = Some(Wait { min: seconds(5), max: seconds(20) })),
        ("wait = \"5s:10s\"", |config| config.settings.wait = Some(Wait { min: seconds(5), max: seconds(10) })),
        ("wait { enabled = false min = \"5s\" }", |config| config.settings.wait = None),
        ("stagger {}", |config| config.settings.stagger = Some(Stagger { at_once: 1, slot: seconds(30) })),
        ("stagger { at_once = 3 slot = \"5s\" }", |config| {
            config.settings.stagger = Some(Stagger { at_once: 3, slot: seconds(5) });
        }),
        ("log_level = \"DEBUG\"", |config| config.process.log_level = LogLevel::Debug),
        ("log_level = \"err\"", |config| config.process.log_level = LogLevel::Err),
        ("pid_file = \"/p\"", |config| config.process.pid_file = Some("/p".into())),
        ("kill_signal = \"SIGTERM\"", |config| config.process.kill_signal = Some(15)),
        ("kill_signal = \"\"", |config| config.process.kill_signal = None),
        ("reload_signal = 10", |config| config.process.reload_signal = Some(10)),
        ("reload_signal = \"SIGNULL\"", |config| config.process.reload_signal = None),
        ("parse_only = true", |config| config.process.parse_only = true),
        ("diff = true", |config| config.process.diff = true),
        ("err_on_failed_lookup = true", |config| config.process.err_on_failed_lookup = true),
        ("max_stale = \"10m\"", |config| config.consul.max_stale = seconds(600)),
        ("block_query_wait = 1000000000", |config| config.consul.block_query_wait = seconds(1)),
        ("LOG_Level = \"trace\"", |config| config.process.log_level = LogLevel::Trace),
    ];
    for (text, change) in cases {
        let mut want = defaults();
        change(&mut want);
        assert_eq!(config(text), want, "{text}");
    }
}

#[test]
fn exec_keys() {
    let cases: &[(&str, Change<ExecSettings>)] = &[
        ("", |_| {}),
        ("enabled = true", |_| {}),
        ("reload_signal = \"USR1\"", |exec| exec.reload_signal = Some(10)),
        ("reload_signal = \"\"", |exec| exec.reload_signal = None),
        ("kill_signal = \"SIGKILL\"", |exec| exec.kill_signal = 9),
        ("kill_signal = \"\"", |exec| exec.kill_signal = 0),
        ("kill_timeout = \"2s\"", |exec| exec.kill_timeout = seconds(2)),
        ("splay = \"5s\"", |exec| exec.splay = seconds(5)),
        ("env { pristine = true }", |exec| exec.env.pristine = true),
        ("env { custom = [\"A=1,2\", \"B=\"] }", |exec| exec.env.custom = vec!["A=1,2".into(), "B=".into()]),
        ("env { allowlist = [\"C*\"] }", |exec| exec.env.allowlist = vec!["C*".into()]),
        ("env { whitelist = \"C*,D\" denylist = [] }", |exec| exec.env.allowlist = vec!["C*".into(), "D".into()]),
        ("env { denylist = [\"a\"] blacklist = [\"b\"] }", |exec| exec.env.denylist = vec!["a".into(), "b".into()]),
    ];
    for (text, change) in cases {
        let mut want = exec(&["p", "q"]);
        change(&mut want);
        let text = format!("exec {{ command = [\"p\", \"q\"] {text} }}");
        assert_eq!(config(&text).settings.exec, Some(want), "{text}");
    }
    assert_eq!(config("exec = \"p q\"").settings.exec, Some(exec(&["p q"])));
    for text in ["exec { command = \"p\" enabled = false }", "exec { command = \" \" }", "exec { command = [] }", "exec = []"] {
        assert_eq!(config(text).settings.exec, None, "{text}");
    }
}

#[test]
fn consul_keys() {
    fn secret(text: &str) -> Secret {
        Secret(text.into())
    }
    fn auth(word: &str) -> Option<Auth> {
        Some(Auth { username: "u".into(), password: secret(word) })
    }
    let cases: &[(&str, Change<Consul>)] = &[
        ("address = \"h:1\"", |consul| consul.address = some("h:1")),
        ("namespace = \"n\"", |consul| consul.namespace = some("n")),
        ("token = \"t\"", |consul| consul.token = Some(secret("t"))),
        ("token = \"\"", |_| {}),
        ("token_file = \"/t\"", |consul| consul.token_file = Some("/t".into())),
        ("auth { username = \"u\" password = \"w\" }", |consul| consul.auth = auth("w")),
        ("auth { username = \"u\" enabled = false }", |_| {}),
        ("auth = \"u\"", |consul| consul.auth = auth("")),
        ("auth = \"u:w:x\"", |consul| consul.auth = auth("w:x")),
        ("ssl {}", |_| {}),
        ("ssl { enabled = true }", |consul| consul.tls = Some(tls())),
        ("ssl { verify = false }", |consul| consul.tls = Some(Tls { verify: false, ..tls() })),
        ("ssl { enabled = false cert = \"/c\" }", |_| {}),
        ("ssl { cert = \"/c\" key = \"/k\" }", |consul| {
            consul.tls = Some(Tls { cert: Some("/c".into()), key: Some("/k".into()), ..tls() });
        }),
        ("ssl { ca_cert = \"/c\" ca_path = \"/p\" server_name = \"s\" }", |consul| {
            let (ca_cert, ca_path) = (Some("/c".into()), Some("/p".into()));
            consul.tls = Some(Tls { ca_cert, ca_path, server_name: some("s"), ..tls() });
        }),
        ("retry { enabled = false }", |consul| consul.retry.enabled = false),
        ("retry { attempts = 0 }", |consul| consul.retry.attempts = 0),
        ("retry { backoff = \"1s\" max_backoff = \"0s\" }", |consul| {
            (consul.retry.backoff, consul.retry.max_backoff) = (seconds(1), seconds(0));
        }),
    ];
    for (text, change) in cases {
        let mut want = defaults();
        change(&mut want.consul);
        assert_eq!(config(&format!("consul {{ {text} }}")), want, "{text}");
    }
    let old = config("consul = \"h:1\"");
    assert_eq!((old.consul.address, old.warnings.len()), (some("h:1"), 1));
    assert!(!format!("{:?}", config("consul { token = \"hush\" auth = \"u:hush\" }")).contains("hush"));
}

#[test]
fn template_keys() {
    let cases: &[(&str, Change<TemplateSettings>)] = &[
        ("", |_| {}),
        ("create_dest_dirs = false", |template| template.create_dest_dirs = false),
        ("command = \"x y\"", |template| template.command = Some(command(&["x y"], 30))),
        ("command = [\"x\", \"y\"]", |template| template.command = Some(command(&["x", "y"], 30))),
        ("command = \"\"", |_| {}),
        ("command = \"x\" command_timeout = \"1m\"", |template| template.command = Some(command(&["x"], 60))),
        ("exec { command = \"x\" timeout = \"1m\" }", |template| template.command = Some(command(&["x"], 60))),
        ("exec { timeout = \"1m\" kill_signal = \"INT\" } command = \"x\"", |template| {
            template.command = Some(command(&["x"], 60));
        }),
        ("exec { command = \"x\" enabled = false }", |_| {}),
        ("exec { command = \"x\" env { pristine = true } }", |template| {
            let env = Env { pristine: true, ..Env::default() };
            template.command = Some(CommandSettings { env, ..command(&["x"], 30) });
        }),
        ("check = \"x {{.Path}}\"", |template| template.check = Some(command(&["x {{.Path}}"], 30))),
        ("check = [\"x\", \"{{.Path}}\"]", |template| template.check = Some(command(&["x", "{{.Path}}"], 30))),
        ("check { command = \"x {{ .Path }}\" timeout = \"2s\" }", |template| {
            template.check = Some(command(&["x {{ .Path }}"], 2));
        }),
        ("roll_back = true command = \"x\"", |template| {
            (template.roll_back, template.command) = (true, Some(command(&["x"], 30)));
        }),
        ("perms = 0600", |template| template.perms = Some(0o600)),
        ("perms = \"0640\"", |template| template.perms = Some(0o640)),
        ("user = \"www\" group = 33", |template| (template.user, template.group) = (some("www"), some("33"))),
        ("uid = 0 gid = 7", |template| (template.user, template.group) = (some("0"), some("7"))),
        ("user = \"www\" uid = 5", |template| template.user = some("www")),
        ("backup = true", |template| template.backup = true),
        ("left_delimiter = \"<<\"", |template| template.left_delimiter = some("<<")),
        ("right_delimiter = \">>\"", |template| template.right_delimiter = some(">>")),
        ("wait { min = \"2s\" }", |template| template.wait = Some(Wait { min: seconds(2), max: seconds(8) })),
        ("wait = \"2s\"", |template| template.wait = Some(Wait { min: seconds(2), max: seconds(8) })),
        ("wait { enabled = false }", |template| template.wait = Some(Wait { min: seconds(0), max: seconds(0) })),
        ("wait { bool = true min = \"1s\" }", |template| template.wait = Some(Wait { min: seconds(1), max: seconds(4) })),
        ("error_on_missing_key = true", |template| template.error_on_missing_key = true),
        ("error_fatal = false", |template| template.error_fatal = false),
        ("function_denylist = [\"sprig_*\"]", |template| template.function_denylist = vec!["sprig_*".into()]),
        ("function_blacklist = [\"plugin\"]", |template| template.function_denylist = vec!["plugin".into()]),
        ("sandbox_path = \"/s\"", |template| template.sandbox_path = Some("/s".into())),
    ];
    for (text, change) in cases {
        let mut want = template();
        change(&mut want);
        let text = format!("template {{ source = \"a\" destination = \"b\" {text} }}");
        let config = config(&text);
        assert_eq!((config.settings.templates, config.warnings), (vec![want], vec![]), "{text}");
    }
    let inline = config("template { contents = \"{{key \\\"a\\\"}}\" source = \"\" destination = \"b\" }").settings.templates;
    assert_eq!(inline, [TemplateSettings { source: TemplateSource::Contents("{{key \"a\"}}".into()), ..template() }]);
}

#[test]
fn one_file_for_each() {
    for (text, want) in [
        ("for_each = \"service\"", ForEach::Service),
        ("for_each = \"node\"", ForEach::Node(String::new())),
        ("for_each = { node = \"label=a\" }", ForEach::Node("label=a".into())),
        ("for_each { node = \"label=a\" }", ForEach::Node("label=a".into())),
    ] {
        let text = format!("template {{ source = \"a\" destination = \"x/{{{{.Name}}}}\" {text} }}");
        let [template] = &*config(&text).settings.templates else { panic!("one template") };
        assert_eq!((&template.for_each, &template.destination), (&Some(want), &PathBuf::from("x/{{.Name}}")), "{text}");
    }
}

#[test]
fn what_templates_take_from_around_them() {
    let around = "template_error_fatal = false default_delimiters { left = \"<\" right = \">\" }";
    let want = TemplateSettings { error_fatal: false, left_delimiter: some("<"), right_delimiter: some(">"), ..template() };
    let two = "template { source = \"a\" destination = \"b\" }
               template { source = \"a\" destination = \"b\" error_fatal = true left_delimiter = \"[\" }";
    let own = TemplateSettings { number: 2, error_fatal: true, left_delimiter: some("["), ..want.clone() };
    assert_eq!(config(&format!("{around} {two}")).settings.templates, [want, own]);
}

#[test]
fn what_does_nothing_is_accepted_with_one_warning() {
    let text = "vault { address = \"a\" retry { attempts = 1 } anything = [{}] }
                nomad {} deduplicate { enabled = true } telemetry { stdout {} }
                syslog { enabled = true } log_file { path = \"a\" }
                dump_signal = \"QUIT\" consul { transport { dial_timeout = \"1s\" } }";
    let config = config(&format!("{text} {text}"));
    let first = |warning: &String| warning.split(' ').next().map(str::to_owned);
    let keys: Vec<_> = config.warnings.iter().filter_map(first).collect();
    let want = ["vault", "nomad", "deduplicate", "telemetry", "syslog", "log_file", "dump_signal", "consul.transport"];
    assert_eq!(keys, want);
    assert_eq!(Config { warnings: vec![], ..config }, defaults());
}

#[test]
fn the_environment_is_below_what_was_written() {
    let env = |name: &str| {
        let value = match name {
            "CONSUL_HTTP_ADDR" => "env:1",
            "CONSUL_HTTP_TOKEN" => "t",
            "CONSUL_TOKEN" => "u",
            "CONSUL_HTTP_AUTH" => "a:b",
            "CONSUL_HTTP_SSL" => "1",
            "CONSUL_HTTP_SSL_VERIFY" => "false",
            "CONSUL_CACERT" => "",
            "CT_LOG" => "info",
            "CONSUL_TEMPLATE_LOG" => "err",
            "TEMPLATE_KEYS_DIR" => "/k",
            "LOBBY_TEMPLATE_KEYS_DIR" => "/keys",
            _ => return None,
        };
        some(value)
    };
    let config = Partial::from_hcl("").and_then(|partial| partial.resolve(env)).expect("it is good");
    let mut want = defaults();
    want.consul.address = some("env:1");
    want.consul.token = Some(Secret("u".into()));
    want.consul.auth = Some(Auth { username: "a".into(), password: Secret("b".into()) });
    want.consul.tls = Some(Tls { verify: false, ..tls() });
    want.process.log_level = LogLevel::Info;
    want.keys_dir = Some("/keys".into());
    assert_eq!(config, want);
    let written =
        Partial::from_hcl("log_level = \"trace\" consul { address = \"w:1\" }").and_then(|partial| partial.resolve(env));
    want.consul.address = some("w:1");
    want.process.log_level = LogLevel::Trace;
    assert_eq!(written.expect("it is good"), want);
}

#[test]
fn a_template_of_lobbyd() {
    let table: toml::Table =
        "source = 'a'\ndestination = 'b'\nperms = 0o600\ncheck = ['x', '{{.Path}}']\nwait = '2s'".parse().expect("it is TOML");
    let want = TemplateSettings {
        number: 0,
        perms: Some(0o600),
        check: Some(command(&["x", "{{.Path}}"], 30)),
        wait: Some(Wait { min: seconds(2), max: seconds(8) }),
        ..template()
    };
    assert_eq!(template_from_toml(&table).expect("it is good"), (want, vec![]));
}
