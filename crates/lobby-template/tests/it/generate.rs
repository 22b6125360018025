//! Templates made up at random, for asking Go and us the same questions. Decides what is asked and how often; a seed gives the
//! same templates always.
//!
//! Not asked: what Go answers with addresses (pointers inside lists, functions and channels as text, `%p`), and whether a list
//! or map is nil (ours is empty then).

use super::random::Random;

const NAMES: &[&str] = &[
    "nil", "true", "false", "zero", "three", "minus", "i8", "i16", "i32", "min", "max", "rune", "u8", "u0", "u16", "u32", "u64",
    "f0", "nf0", "f", "nf", "big", "edge", "small", "third", "most", "least", "inf", "ninf", "nan", "c", "c0", "cbig", "cinf",
    "empty", "s", "utf8", "bad", "html", "ctl", "raw", "digits", "ints", "strings", "floats", "bools", "list", "none", "nested",
    "m", "ms", "mi", "mb", "mu", "mm", "ml", "m0", "s0", "named",
];
const CONSTANTS: &[&str] = &[
    "0",
    "1",
    "2",
    "-1",
    "3",
    "7",
    "0x1F",
    "1e3",
    "1.5",
    "-0.0",
    "1i",
    "1+2i",
    "'x'",
    "'\\n'",
    "300",
    "-129",
    "1e18",
    "0b101",
    "0o17",
    "1_000",
    "0x1p-2",
    "9223372036854775807",
    "true",
    "false",
    "\"\"",
    "\"a\"",
    "\"two\"",
    "\"k\"",
    "\"x\"",
    "\"a b\"",
    "\"\\xff\"",
    "`r\"`",
    "\"é\"",
    "nil",
    "18446744073709551615",
];
const FIELDS: &[&str] = &[
    ".a",
    ".b",
    ".z.k",
    ".nope",
    ".z.nope",
    ".nil.x",
    ".Tags",
    ".Port",
    ".ID",
    ".ServiceMeta.k",
    ".Word",
    ".Join",
    ".Fail",
    ".String",
    ".x",
    ".x.y",
    ".list",
    ".f",
    ".a.b",
];
const PLAIN: &[&str] =
    &["m", "ms", "mi", "ints", "empty", "nilv", "named", "ms.a", "m.z.k", "named.Word", "named.String", "ms.nope", "m.nope"];
const ANY: &[&str] = &["eq", "eq", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "add", "print", "println", "index"];
const ONE: &[&str] = &[
    "not",
    "len",
    "print",
    "println",
    "html",
    "js",
    "urlquery",
    "index",
    "slice",
    "toUpper",
    "asInt",
    "asInt8",
    "asUint",
    "asFloat",
    "asCplx",
    "asBool",
    "asString",
    "asList",
    "asMap",
    "eq",
    "and",
    "named.Join",
    "call (adder 1)",
];

/// One template.
pub(crate) struct Maker<'r> {
    pub(crate) random: &'r mut Random,
    variables: Vec<String>,
    loops: usize,
    /// Templates that may still be called.
    callable: usize,
}

/// A template's text; one in five is damaged, so that it seldom parses.
pub(crate) fn template(random: &mut Random) -> String {
    let mut maker = Maker { random, variables: vec!["$".into()], loops: 0, callable: 0 };
    let mut text = match maker.random.below(3) {
        0 => maker.formatted(),
        1 => format!("{{{{{}}}}}", maker.pipeline(2)),
        _ => maker.whole(),
    };
    // A definition could become one that calls itself.
    if !text.contains("define") && random.one_in(4) {
        damage(random, &mut text);
    }
    text
}

fn damage(random: &mut Random, text: &mut String) {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(2) {
        let at = random.below(chars.len());
        match random.below(3) {
            0 => drop(chars.remove(at)),
            1 => chars.insert(at, chars[random.below(chars.len())]),
            _ => chars.insert(
                at,
                random
                    .of(&["{", "}", "(", ")", "|", "\"", "$", ".", "-", ",", "=", ":", " ", "\n", "0", "é", "i"])
                    .chars()
                    .next()
                    .unwrap_or('x'),
            ),
        }
        if chars.is_empty() {
            break;
        }
    }
    *text = chars.into_iter().collect();
}

impl Maker<'_> {
    fn whole(&mut self) -> String {
        let mut text = String::new();
        for defined in 0..self.random.below(3) {
            self.variables.truncate(1);
            let body = self.nodes(2);
            text += &format!("{{{{define \"T{defined}\"}}}}{body}{{{{end}}}}");
            self.callable = defined + 1;
        }
        self.variables.truncate(1);
        text + &self.nodes(3)
    }

    fn nodes(&mut self, depth: usize) -> String {
        let scope = self.variables.len();
        let nodes: String = (0..1 + self.random.below(3)).map(|_| self.node(depth)).collect();
        self.variables.truncate(scope);
        nodes
    }

    fn node(&mut self, depth: usize) -> String {
        let (left, right) = (self.random.of(&["{{", "{{", "{{- "]), self.random.of(&["}}", "}}", " -}}"]));
        let choices = if depth == 0 { 5 } else { 10 };
        match self.random.below(choices) {
            0 => self.random.of(&["text\n", " a b ", "{", "\n\t", "é"]).into(),
            1 | 2 => format!("{left}{}{right}", self.pipeline(2)),
            3 => {
                let value = self.pipeline(1);
                let name = self.random.of(&["$x", "$y"]).to_owned();
                let sign = if self.variables.contains(&name) && self.random.one_in(2) { "=" } else { ":=" };
                self.variables.push(name.clone());
                format!("{left}{name} {sign} {value}{right}")
            }
            4 if self.loops > 0 => {
                format!("{left}if {}{right}{{{{{}}}}}{{{{end}}}}", self.pipeline(1), self.random.of(&["break", "continue"]))
            }
            4 if self.callable > 0 => {
                let name = if self.random.one_in(9) { 9 } else { self.random.below(self.callable) };
                let dot = self.operand(1);
                format!("{left}template \"T{name}\" {dot}{right}")
            }
            4 => format!("{left}/* {{{{ */{right}"),
            5 | 6 => self.condition(depth - 1, left, right),
            7 | 8 => self.range(depth - 1, left, right),
            _ => {
                let scope = std::mem::replace(&mut self.variables, vec!["$".into()]);
                let loops = std::mem::take(&mut self.loops);
                let body = self.nodes(depth - 1);
                (self.variables, self.loops) = (scope, loops);
                format!("{left}block \"B{}\" {}{right}{body}{{{{end}}}}", self.random.below(1_000_000), self.operand(1))
            }
        }
    }

    fn condition(&mut self, depth: usize, left: &str, right: &str) -> String {
        let word = self.random.of(&["if", "with"]);
        let scope = self.variables.len();
        let mut head = self.pipeline(1);
        if self.random.one_in(3) {
            head = format!("$x := {head}");
            self.variables.push("$x".into());
        }
        let mut text = format!("{left}{word} {head}{right}{}", self.nodes(depth));
        if word == "if" && self.random.one_in(3) {
            text += &format!("{left}else if {}{right}{}", self.pipeline(1), self.nodes(depth));
        }
        if self.random.one_in(2) {
            text += &format!("{left}else{right}{}", self.nodes(depth));
        }
        self.variables.truncate(scope);
        text + "{{end}}"
    }

    fn range(&mut self, depth: usize, left: &str, right: &str) -> String {
        let scope = self.variables.len();
        let over = match self.random.below(6) {
            0 => self.pipeline(1),
            1 => "service".into(),
            2 => format!("loop {}", self.random.of(&["3", "0", "2 4", "1 2 3", "-1"])),
            _ => format!(
                "pick \"{}\"",
                self.random.of(&[
                    "ints", "strings", "list", "m", "ms", "mi", "mb", "mu", "mm", "ml", "none", "m0", "nil", "nested", "nameds"
                ])
            ),
        };
        let mut names: Vec<String> = ["$i", "$x"].map(String::from)[..self.random.below(3)].to_vec();
        let mut declared = names.join(", ");
        if !names.is_empty() {
            declared += " := ";
        }
        self.variables.append(&mut names);
        self.loops += 1;
        let body = self.nodes(depth);
        self.loops -= 1;
        let mut text = format!("{left}range {declared}{over}{right}{body}");
        self.variables.truncate(scope);
        if self.random.one_in(2) {
            text += &format!("{left}else{right}{}", self.nodes(depth));
        }
        text + "{{end}}"
    }

    fn pipeline(&mut self, depth: usize) -> String {
        let mut text = self.command(depth);
        while self.random.one_in(4) {
            let next = match self.random.below(4) {
                0 => self.random.of(&["printf \"%v\"", "printf \"%q\"", "printf \"%T\""]).to_owned(),
                1 => self.command(depth.saturating_sub(1)),
                _ => self.random.of(ONE).to_owned(),
            };
            text = format!("{text} | {next}");
        }
        text
    }

    fn command(&mut self, depth: usize) -> String {
        let depth = depth.saturating_sub(1);
        let (name, args) = match self.random.below(14) {
            0..=2 => return self.operand(depth + 1),
            3..=6 => (self.random.of(ANY), 2 + usize::from(self.random.one_in(5))),
            7 | 8 => (self.random.of(ONE), 1),
            9 => (self.random.of(&["index", "slice", "index"]), 1 + self.random.below(4)),
            10 => return self.part(),
            11 => (self.random.of(&["call (adder 2)", "named.Join", "join", "split", "call"]), self.random.below(4)),
            12 => (self.random.of(ANY), self.random.below(4)),
            _ => return self.format_call(depth),
        };
        (0..args).fold(name.to_owned(), |text, _| format!("{text} {}", self.operand(depth)))
    }

    /// `index` and `slice` that mostly make sense.
    fn part(&mut self) -> String {
        let of = self
            .random
            .of(&["ints", "strings", "list", "m", "ms", "mi", "mb", "mu", "mm", "ml", "nested", "s", "utf8", "bad", "s0", "nil"]);
        let at = [
            "0",
            "1",
            "2",
            "3",
            "-1",
            "\"a\"",
            "\"x\"",
            "true",
            "nil",
            "7",
            "1.5",
            "\"list\"",
            "(pick \"u32\")",
            "(pick \"max\")",
            "(pick \"u64\")",
        ];
        let name = self.random.of(&["index", "slice", "index"]);
        (0..1 + self.random.below(3)).fold(format!("{name} (pick \"{of}\")"), |text, _| format!("{text} {}", self.random.of(&at)))
    }

    fn operand(&mut self, depth: usize) -> String {
        match self.random.below(if depth == 0 { 9 } else { 12 }) {
            0 | 1 => self.random.of(CONSTANTS).into(),
            2..=4 => format!("(pick \"{}\")", self.random.of(NAMES)),
            5 => {
                let variable = &self.variables[self.random.below(self.variables.len())];
                let field = if self.random.one_in(4) { self.random.of(FIELDS) } else { "" };
                format!("{variable}{field}")
            }
            6 => self.random.of(&[".", ".", ".a", ".Port", ".Tags", ".nope", "."]).into(),
            7 => self.random.of(PLAIN).into(),
            8 => {
                let of = self.random.of(&[
                    "(pick \"m\")",
                    "(pick \"s0\")",
                    "(index service 0)",
                    "m",
                    "ms",
                    "named",
                    "(pick \"named\")",
                    "(pick \"nil\")",
                    "nilv",
                    "mi",
                    "(pick \"mi\")",
                    "(pick \"m0\")",
                    "(pick \"s\")",
                ]);
                format!("{of}{}", self.random.of(FIELDS))
            }
            9 => format!("({})", self.pipeline(depth - 1)),
            _ => format!("({})", self.command(depth - 1)),
        }
    }

    fn format_call(&mut self, depth: usize) -> String {
        let (format, verbs) = self.format();
        let args = (verbs + self.random.below(3)).saturating_sub(1);
        (0..args).fold(format!("printf {format}"), |text, _| format!("{text} {}", self.operand(depth)))
    }

    /// An action that is only a `printf`, mostly of plain values.
    fn formatted(&mut self) -> String {
        let (format, verbs) = self.format();
        let args = if self.random.one_in(8) { self.random.below(4) } else { verbs };
        let args = (0..args).map(|_| match self.random.below(5) {
            0 => self.random.of(CONSTANTS).to_owned(),
            1 => self.integer().to_string(),
            2 => format!("{:e}", f64::from_bits(self.random.next())).replace("NaN", "1.0").replace("inf", "2.0"),
            _ => format!("(pick \"{}\")", self.random.of(NAMES)),
        });
        format!("{{{{printf {format} {}}}}}", args.collect::<Vec<_>>().join(" "))
    }

    /// Of any length. No character beyond Latin, as Go's Unicode is older than Rust's.
    fn integer(&mut self) -> i64 {
        let number = self.random.next() as i64 >> self.random.below(64);
        if (0x250..0x11_0000).contains(&number) { number | 1 << 21 } else { number }
    }

    /// A format as a literal, and how many operands it takes.
    fn format(&mut self) -> (String, usize) {
        let (mut text, mut operands) = (String::from("\""), 0);
        for _ in 0..1 + self.random.below(3) {
            text += self.random.of(&["", "|", "x", "é", "\\n"]);
            text.push('%');
            while self.random.one_in(2) {
                text += self.random.of(&["+", "-", "#", " ", "0"]);
            }
            if self.random.one_in(20) {
                text += self.random.of(&["[1]", "[2]", "[3]", "[0]", "[x]", "[1", "[]", "[-1]"]);
            }
            for point in ["", "."] {
                if self.random.one_in(3) {
                    text += point;
                    let width = self.random.of(&["*", "0", "1", "2", "3", "5", "8", "17", "30", "007", ""]);
                    operands += usize::from(width == "*");
                    text += width;
                }
            }
            let verb = self.random.of(&[
                "v", "v", "T", "t", "b", "c", "d", "d", "o", "O", "q", "q", "x", "x", "X", "U", "e", "E", "f", "F", "g", "g",
                "G", "s", "%", "z", "w", "é", "!",
            ]);
            operands += usize::from(verb != "%");
            text += verb;
        }
        if self.random.one_in(40) {
            text.push('%');
        }
        (text + "\"", operands)
    }
}
