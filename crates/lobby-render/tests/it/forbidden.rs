//! What templates may not do: denied functions, files outside of the sandbox, what needs other products.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use lobby_render::{Answer, Data, Globs, Query};
use lobby_template::MissingKey;

use super::{data, error, evaluate, pass, print, render};

#[test]
fn a_denied_function_fails_when_it_is_called_and_not_before() {
    let denied = |template: &str| {
        let mut pass = pass(Data::default());
        pass.denied = Globs::new(["env*".to_owned(), "file".to_owned()]);
        print(template, &Arc::new(pass), MissingKey::Zero)
    };
    for call in ["env \"A\"", "envOrDefault \"A\" \"b\"", "file \"/etc/passwd\""] {
        assert!(denied(&format!("{{{{{call}}}}}")).unwrap_err().ends_with("function is disabled"), "{call}");
        assert_eq!(denied(&format!("{{{{if false}}}}{{{{{call}}}}}{{{{end}}}}x")).as_deref(), Ok("x"));
    }
    assert_eq!(denied("{{keyExists \"\"}}").as_deref(), Ok("false"));
}

#[test]
fn what_needs_another_product_says_which() {
    for (call, product) in
        [("secret \"a\"", "Vault"), ("nomadServices", "Nomad"), ("caRoots", "mesh"), ("partitions", "Enterprise")]
    {
        let error = error(&format!("{{{{{call}}}}}"), []);
        assert!(error.contains(product), "{error}");
    }
    assert_eq!(render("{{if false}}{{secret \"a\"}}{{end}}x", []), "x");
    for (call, why) in
        [("sprig_genCA \"a\" 1", "no secrets"), ("sprig_randInt 1 2", "leave no chance"), ("sprig_ago 1", "timestamp")]
    {
        let error = error(&format!("{{{{{call}}}}}"), []);
        assert!(error.contains(why), "{error}");
    }
    assert_eq!(render("{{spew_dump 1}}{{spew_printf \"%v\" 1}}x", []), "x");
}

/// Whether `file` may read a path; then it is asked for.
fn reads(sandbox: &Path, path: &Path) -> Result<String, String> {
    let query = Query::File(path.into());
    let mut pass = pass(data([(query.clone(), Answer::File(Arc::from(*b"text")))]));
    pass.sandbox = Some(sandbox.into());
    let pass = Arc::new(pass);
    let printed = print(&format!("{{{{file `{}`}}}}", path.display()), &pass, MissingKey::Zero);
    assert_eq!(pass.asked.questions().used.contains(&query), printed.is_ok());
    printed
}

#[test]
fn files_stay_in_the_sandbox_whatever_links_say() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let (inside, outside) = (folder.path().join("in"), folder.path().join("in-not"));
    for folder in [&inside, &outside] {
        fs::create_dir(folder)?;
        fs::write(folder.join("a"), "text")?;
    }
    symlink("a", inside.join("link"))?;
    symlink("../in-not/a", inside.join("out"))?;
    symlink("../in-not", inside.join("folder"))?;
    symlink("in", folder.path().join("alias"))?;
    for path in [inside.join("a"), inside.join("link"), inside.join("../in/a"), folder.path().join("alias/a")] {
        assert_eq!(reads(&inside, &path).as_deref(), Ok("text"), "{path:?}");
        assert_eq!(reads(&folder.path().join("alias"), &path).as_deref(), Ok("text"), "{path:?}");
    }
    for path in [outside.join("a"), inside.join("out"), inside.join("folder/a"), inside.join("../in-not/a")] {
        assert!(reads(&inside, &path).unwrap_err().ends_with("is outside of sandbox"), "{path:?}");
    }
    assert!(reads(&inside, &inside.join("gone")).is_err());
    Ok(())
}

#[test]
fn without_a_sandbox_any_file_is_asked_for() {
    let (_, questions) = evaluate("{{file \"/etc/hosts\"}}", data([]));
    assert_eq!(questions.missing, [Query::File("/etc/hosts".into())].into());
}
