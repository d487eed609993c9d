//! The check of `DIR/rig.toml`: whether a start can read it, whether what it says goes together, and who may change it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{Check, Failure};
use crate::cli::serve::{self, LISTEN_DEFAULT};
use crate::cli::settings::OF_DIR;
use crate::node::dir::DataDir;

const NAME: &str = "settings";

/// Where a node of this directory listens unless a flag says otherwise, and the check.
pub(super) fn check(dir: &DataDir) -> (String, Check) {
    let path = dir.path().join(OF_DIR);
    let file = match serve::read_file(dir) {
        Ok(file) => file,
        // Whatever the flags are, a start reads it first.
        Err(failure) => {
            let fix = fix_of(&failure, "`rig serve --help` lists what can be set");
            return (LISTEN_DEFAULT.to_owned(), Check::fail(NAME, failure.message.clone(), fix));
        }
    };
    let others_write = fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o022 != 0);
    let check = match file.conflict {
        Some(failure) => {
            let message = format!("without flags `rig serve` does not start: {}", failure.message);
            let fix = fix_of(&failure, "change it, or give the flag that is missing");
            Check::warn(NAME, message, fix)
        }
        // One of the keys is a command that the node runs.
        None if others_write => {
            Check::warn(NAME, format!("others may write to {}", path.display()), "chmod go-w on it")
        }
        None if !path.exists() => Check::ok(NAME, format!("no {OF_DIR}: flags and defaults hold")),
        None => Check::ok(NAME, format!("{OF_DIR} sets {}", list(&file.keys))),
    };
    (file.listen, check)
}

fn fix_of<'a>(failure: &'a Failure, otherwise: &'a str) -> &'a str {
    if failure.hint.is_empty() { otherwise } else { &failure.hint }
}

fn list(keys: &[String]) -> String {
    if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_file_is_judged_as_a_start_would_judge_it() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::init(&home.path().join("n1"), "n1").unwrap();
        let path = dir.path().join(OF_DIR);
        let private = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        };
        assert!(check(&dir).1.message.contains("no rig.toml"));
        private("tokens", "ops admin the-operators-token\n");
        private("bad-tokens", "ops emperor the-operators-token\n");
        for (text, wanted, part) in [
            ("", Verdict::Ok, "sets nothing"),
            ("drain = \"3s\"\nlisten = \"127.0.0.1:1\"\n", Verdict::Ok, "sets drain, listen"),
            ("drian = \"3s\"\n", Verdict::Fail, ":1:1: unknown key `drian`"),
            ("drain = 3 s\n", Verdict::Fail, ":1:"),
            ("\ndrain = \"soon\"\n", Verdict::Fail, ":2:"),
            ("listen = \"0.0.0.0:7440\"\n", Verdict::Warn, "no --tokens"),
            ("tls_key = \"key\"\n", Verdict::Warn, "--tls-cert"),
            ("tokens = \"missing\"\n", Verdict::Warn, "missing"),
            ("tokens = \"bad-tokens\"\n", Verdict::Warn, "no role"),
            ("tokens = \"tokens\"\n", Verdict::Ok, "sets tokens"),
            ("tls_cert = \"none\"\ntls_key = \"none\"\n", Verdict::Warn, "none"),
            ("proxy = \"http://127.0.0.1:1\"\n", Verdict::Warn, "proxy"),
        ] {
            private(OF_DIR, text);
            let check = check(&dir).1;
            assert_eq!(check.result, wanted, "{text:?}: {check:?}");
            assert!(check.message.contains(part), "{text:?}: {check:?}");
            assert_eq!(check.fix.is_none(), wanted == Verdict::Ok, "{text:?}: {check:?}");
        }
        private(OF_DIR, "listen = \"127.0.0.1:1\"\n");
        assert_eq!(check(&dir).0, "127.0.0.1:1");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
        let open = check(&dir).1;
        assert_eq!((open.result, open.fix.as_deref()), (Verdict::Warn, Some("chmod go-w on it")), "{open:?}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(check(&dir).1.result, Verdict::Fail);
    }
}
