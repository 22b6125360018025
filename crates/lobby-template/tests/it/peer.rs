//! Go itself, where it is installed: the fixtures still say what it answers, and it answers made-up templates as we do.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::fixture::{Case, cases, expected, run};
use super::generate::template;
use super::random::Random;

/// How many templates are made up. Go answers them all in a second.
const MADE_UP: usize = 20_000;

/// What Go makes of the cases; `None` without a Go.
fn ask_go(cases: &[Case]) -> Option<Vec<Case>> {
    if Command::new("go").arg("version").output().is_err() {
        eprintln!("no Go here: nothing to compare with");
        return None;
    }
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/go/cases.go");
    let mut go = Command::new("go");
    let mut go = go.arg("run").arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = go.stdin.take().unwrap();
    let lines: Vec<String> = cases.iter().map(|case| serde_json::to_string(case).unwrap() + "\n").collect();
    let writer = std::thread::spawn(move || lines.iter().try_for_each(|line| stdin.write_all(line.as_bytes())));
    let output = go.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    Some(answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn the_fixtures_are_gos_answers() {
    let cases = cases();
    let Some(answers) = ask_go(&cases) else { return };
    assert_eq!(answers, cases, "tests/go/cases.go says how to write them anew");
}

#[test]
fn go_answers_made_up_templates_alike() {
    let seed = std::env::var("LOBBY_TEMPLATE_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("LOBBY_TEMPLATE_SEED={seed}");
    let mut random = Random(seed);
    let made = |_| {
        let text = template(&mut random);
        Case::new(text, ["default", "zero", "error"][random.below(3)])
    };
    let Some(answers) = ask_go(&(0..MADE_UP).map(made).collect::<Vec<_>>()) else { return };
    let mut wrong = Vec::new();
    let mut ran = 0;
    // Lists and maps that are nil are only empty here.
    let nil = |text: &str| {
        ["asList", "\"mm\"", "\"ml\""].iter().any(|it| text.contains(it)) && (text.contains("eq") || text.contains("ne"))
    };
    for case in answers.iter().filter(|case| !nil(&case.template)) {
        let (want, got) = (expected(case), run(case));
        ran += usize::from(want.is_ok());
        if !alike(&want, &got) {
            wrong.push(format!("{:?}\n  want {}\n  got  {}", case.template, part(&want, &got), part(&got, &want)));
        }
    }
    wrong.sort_by_key(String::len);
    let shown = wrong.iter().take(40).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {}, seed {seed}:\n{shown}", wrong.len(), answers.len());
    assert!(ran > MADE_UP / 5, "only {ran} of {MADE_UP} ran to their end");
}

/// What to look at: from a little before the first difference on.
fn part(answer: &Answer, other: &Answer) -> String {
    let (text, other) = (format!("{answer:?}"), format!("{other:?}"));
    let equal = text.chars().zip(other.chars()).take_while(|(one, two)| one == two).count();
    text.chars().skip(equal.saturating_sub(60)).take(300).collect()
}

type Answer = Result<String, (String, String)>;

/// The answers are the same, but for what is documented as different.
fn alike(want: &Answer, got: &Answer) -> bool {
    match (want, got) {
        // Go's own panics are no model, nor are its addresses.
        (Err((stage, _)), _) if stage == "panic" => true,
        (Ok(text), Ok(_)) if text.contains("0xc0") => true,
        // Newer than the Go that answers: numbers can be ranged over.
        (Err((_, error)), _) if error.contains("range can't iterate over") => {
            got.is_ok() || got.as_ref().is_err_and(|(stage, _)| stage == "exec")
        }
        // `len` of no value: Go's reflection complains about itself.
        (Err((_, error)), Err((_, said))) if error.contains("reflect.Value.Type on zero Value") => {
            said.contains("len of nil pointer")
        }
        // Go forgets to look into an interface; we slice.
        (Err((_, error)), _) => want == got || error.contains("slice: cannot index slice/array with type interface {}"),
        _ => want == got,
    }
}
