//! What `template` prints: a dry run on standard output, and what is worth knowing on the other one.

use expect_test::expect;

use super::{Folder, WWW, WWW_FILE, agent, said, stdout};

#[test]
fn a_dry_run_prints_and_changes_nothing() {
    let (folder, agent) = (Folder::new(), agent());
    folder.write("a.tmpl", WWW);
    let port = agent.address.port();
    let flags = ["-once", "-dry", "-template", "a.tmpl:a:echo ran"];
    assert_eq!(stdout(&folder.run(port, &flags)), format!("> a\n{WWW_FILE}"));
    assert!(!folder.path("a").exists());
    folder.write("a", "www:\n  www1 10.0.0.1:8001\n  www0 10.0.0.1:8000\n");
    let output = folder.run(port, &[&["-diff"], &flags[..]].concat());
    expect![[r#"
        > a
        www:
          www1 10.0.0.1:8001
          www2 10.0.0.1:8002
        --- a
        +++ a
        @@ -1,3 +1,3 @@
         www:
           www1 10.0.0.1:8001
        -  www0 10.0.0.1:8000
        +  www2 10.0.0.1:8002
    "#]]
    .assert_eq(&stdout(&output));
    assert_eq!(output.status.code(), Some(0));
    folder.write("a", WWW_FILE);
    assert_eq!(stdout(&folder.run(port, &flags)), "", "the file has that text");
    folder.write("x.hcl", "template {\n source = \"a.tmpl\"\n destination = \"a\"\n perms = 0600\n}\n");
    let output = folder.run(port, &["-once", "-dry", "-diff", "-config=x.hcl"]);
    assert_eq!(stdout(&output), "> a: mode 0644 -> 0600\n", "{output:?}");
}

#[test]
fn what_is_worth_knowing_is_said_by_level() {
    let (folder, agent) = (Folder::new(), agent());
    folder.write("a.tmpl", "{{range service \"www\"}}{{.ID}} {{end}}");
    let flags = ["-once", "-syslog", "-template", "a.tmpl:a"];
    let output = folder.run(agent.address.port(), &flags);
    expect![[r#"
        [WARN] (cli) syslog is accepted, but does nothing here
        [WARN] (unit) the template does not end with a new line, nor will the file template=a.tmpl
    "#]]
    .assert_eq(&said(&output));
    let output = folder.run(agent.address.port(), &[&["-log-level", "err"], &flags[..]].concat());
    assert_eq!(said(&output), "");
    let output = folder.run(agent.address.port(), &["-once", "-dry", "-parse-only", "-keys-dir=/no/such"]);
    expect![[r#"
        [WARN] (cli) keys_dir /no/such is no folder: there are no keys
        [WARN] (cli) there is no template: nothing is rendered
    "#]]
    .assert_eq(&said(&output));
    let output = folder.run(agent.address.port(), &["-once", "-log-level=debug", "-template", "a.tmpl:a:true"]);
    let text = said(&output);
    for part in ["asked query=", "answered query=", "rendering template=", "not written: the file is as it should be"] {
        assert!(text.lines().any(|line| line.starts_with("[DEBUG] (runner) ") && line.contains(part)), "{part}: {text}");
    }
    let output = folder.run(agent.address.port(), &["-once", "-log-level=debug", "-template", "a.tmpl:b:true"]);
    let text = said(&output);
    for part in ["started command=\"true\" pid=", "ended command=\"true\" status="] {
        assert!(text.contains(&format!("[DEBUG] (command) {part}")), "{part}: {text}");
    }
    let output = folder.run(agent.address.port(), &["-once", "-log-level=info", "-template", "a.tmpl:c"]);
    let text = said(&output);
    assert!(text.contains("[INFO] (runner) rendered template=a.tmpl file=") && text.ends_with("/c\n"), "{text}");
}
