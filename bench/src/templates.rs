//! How fast templates are read and run, beside Go's text/template on the same templates and data.
//!
//! Both sides are processes of their own, asked in turns; each says the median of its rounds and its peak memory. The
//! outputs must be the same. Ours is this program, with `lobby-template` built as in it.

use std::{collections::BTreeMap, fs, path::Path, process::Command, sync::Arc, time::Duration};

use lobby_template::{Func, Funcs, Object, Settings, Str, Template, Type, Value, value::Key};

use crate::host::{now, root};

/// The seed's own.
const HAPROXY: &str = "frontend http-in\n  bind 0.0.0.0:80\n  default_backend www\nbackend www{{range service \"www\"}}
  server {{.ID}} {{.Address}}:{{.Port}}{{end}}\n";
const RICH: &str = r#"{{range $i, $s := service "www"}}{{if and (gt .Port 80) (ne .Status "critical")}}server {{printf "%s-%05d" .ID $i}} {{.Address}}:{{.Port}} weight {{if eq .Name "www"}}{{.Weight}}{{else}}1{{end}} # {{join "," $s.Tags}}{{if index .Meta "zone"}} {{.Meta.zone | printf "%q"}}{{end}}
{{end}}{{end}}"#;
const INSTANCES: usize = 10_000;
const ROUNDS: usize = 15;
/// What the goal says: at most three times Go's time.
const GOAL: f64 = 3.0;

/// What a process says: times in nanoseconds, memory in KiB.
struct Figures {
    parse: f64,
    run: f64,
    peak: f64,
    output: String,
}

pub(crate) fn run(pairs: u32) {
    let folder = std::env::temp_dir().join(format!("bench-templates-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let go = folder.join("go");
    let built = Command::new("go").args(["build", "-o"]).arg(&go).arg(root().join("bench/go/templates.go")).status();
    assert!(built.expect("go can be started").success(), "the peer cannot be built");
    let own = std::env::current_exe().expect("this program");

    println!("| template | instances | what | lobby-template | Go | ratio |");
    println!("|---|---|---|---|---|---|");
    let megabyte = RICH.repeat((1 << 20) / RICH.len());
    let mut worst: f64 = 0.0;
    for (name, text, instances) in [("haproxy", HAPROXY, INSTANCES), ("rich", RICH, INSTANCES), ("1 MiB", &megabyte, 0)] {
        let file = folder.join("template");
        fs::write(&file, text).expect("a file");
        let mut both: Vec<[Figures; 2]> = (0..pairs.max(1))
            .map(|_| {
                [
                    figures(Command::new(&own).arg("templates-own"), &file, instances),
                    figures(&mut Command::new(&go), &file, instances),
                ]
            })
            .collect();
        assert!(both.iter().all(|[own, go]| own.output == go.output), "{name}: the outputs differ");
        let mut row = |what: &str, unit: f64, figure: fn(&Figures) -> f64| {
            both.sort_by(|one, two| (figure(&one[0]) / figure(&one[1])).total_cmp(&(figure(&two[0]) / figure(&two[1]))));
            let [own, go] = &both[both.len() / 2];
            let (own, go) = (figure(own), figure(go));
            println!("| {name} | {instances} | {what} | {:.2} | {:.2} | {:.2} |", own / unit, go / unit, own / go);
            own / go
        };
        worst = worst.max(row("parse, ms", 1e6, |it| it.parse));
        if instances > 0 {
            worst = worst.max(row("run, ms", 1e6, |it| it.run));
        }
        row("peak memory, MiB", 1024.0, |it| it.peak);
    }
    fs::remove_dir_all(&folder).expect("our folder");
    println!("worst ratio of times {worst:.2}, goal {GOAL}");
    assert!(worst <= GOAL, "above the goal");
}

fn figures(program: &mut Command, template: &Path, instances: usize) -> Figures {
    let output = program.arg(template).args([instances, ROUNDS].map(|number| number.to_string())).output();
    let output = output.expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = String::from_utf8_lossy(&output.stdout);
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |idx: usize| words[idx].parse().expect("a number");
    Figures { parse: number(0), run: number(1), peak: number(2), output: words[3..].join(" ") }
}

/// One side: `templates-own FILE INSTANCES ROUNDS`.
pub(crate) fn own(args: &[String]) {
    let text = fs::read_to_string(&args[0]).expect("the template");
    let [instances, rounds] = [1, 2].map(|idx| args[idx].parse::<usize>().expect("a number"));
    let all = Value::list(Type::Named("*main.instance".into()), (0..instances).map(instance).collect());
    let funcs: Funcs = [
        ("service", Func::new([Type::Str], move |_| Ok(all.clone()))),
        ("join", Func::new([Type::Str, Type::Str.list()], |args| Ok(join(&args[0], &args[1])))),
    ]
    .into_iter()
    .collect();
    let parse = || Template::parse("", &text, &Default::default(), &funcs).expect("a template");
    let parse_time = median(rounds, || drop(parse()));
    let template = parse();
    let mut out = Vec::new();
    let run_time = median(rounds, || out = template.execute(&funcs, &Value::Nil, &Settings::default()).expect("it runs"));
    let hash = out.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    println!("{} {} {} {} {hash}", parse_time.as_nanos(), run_time.as_nanos(), peak(), out.len());
}

fn median(rounds: usize, mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[rounds / 2]
}

/// The most memory that this process ever had, in KiB.
fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").expect("our own status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux tells it");
    line.split_whitespace().nth(1).expect("a number").into()
}

fn join(separator: &Value, list: &Value) -> Value {
    let (Value::Str(separator), Value::List(list)) = (separator, list) else { return Value::Nil };
    let parts: Vec<&[u8]> =
        list.items.iter().map(|item| if let Value::Str(item) = item { item.as_bytes() } else { b"" }).collect();
    Value::Str(parts.join(separator.as_bytes()).into())
}

/// As the templates see one; the fields are made once.
#[derive(Debug)]
struct Instance([(&'static str, Value); 8]);

impl Object for Instance {
    fn type_name(&self) -> &str {
        "*main.instance"
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    fn fields(&self) -> Vec<(&str, Value)> {
        self.0.to_vec()
    }
}

fn instance(idx: usize) -> Value {
    let mut meta: BTreeMap<Key, Value> = BTreeMap::from([(Key::Str("version".into()), "1.2".into())]);
    if idx.is_multiple_of(2) {
        meta.insert(Key::Str("zone".into()), format!("z{}", idx % 7).into());
    }
    let text = |text: String| Value::Str(Str::from(text));
    let fields = [
        ("ID", text(format!("www-{idx}"))),
        ("Name", "www".into()),
        ("Address", text(format!("10.0.{}.{}", idx / 250, idx % 250))),
        ("Status", if idx.is_multiple_of(10) { "critical" } else { "passing" }.into()),
        ("Port", Value::int(80 + idx as i64 % 100)),
        ("Weight", Value::int(idx as i64 % 9)),
        ("Tags", Value::strings(["a", "primary", "eu-west"])),
        ("Meta", Value::map(Type::Str, Type::Str, meta)),
    ];
    Value::from(Arc::new(Instance(fields)))
}
