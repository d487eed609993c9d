//! Operations for the documents service, good and bad, from a seed.

use crate::types::Operation;

const PLANS: &str = r#"{"type":"plan","references":{"team":{"type":"team","on_delete":"restrict"}}}"#;

/// A small generator (xorshift64*), so that a seed means the same everywhere and for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

/// Users with unique mail addresses in teams, projects that restrict, schemas that change, and every mistake
/// that the contract names. Few names, so that operations meet.
pub fn documents_workload(seed: u64, count: usize) -> Vec<Operation> {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut operations = vec![
        // What is deleted while another begins to refer to it.
        Operation::new("schema_set", PLANS),
        Operation::new("team_create", r#"{"id":"t9"}"#),
        Operation::new("team_delete", r#"{"id":"t9"}"#),
        Operation::new("plan_put", r#"{"id":"p9","team":"t9"}"#),
        Operation::new("schema_set", users("cascade")),
        Operation::new("team_create", r#"{"id":"t0","name":"first"}"#),
    ];
    while operations.len() < count {
        operations.push(operation(&mut dice));
    }
    operations.truncate(count);
    operations
}

fn users(on_delete: &str) -> String {
    format!(
        r#"{{"type":"user","unique":["mail"],"required":["name"],"references":{{"team":{{"type":"team","on_delete":"{on_delete}"}},"boss":{{"type":"user","on_delete":"set_null"}}}},"json_schema":{{"properties":{{"age":{{"type":"integer","minimum":0}}}}}}}}"#
    )
}

fn operation(dice: &mut Dice) -> Operation {
    let user = format!("u{}", dice.roll(8));
    let team = format!("t{}", dice.roll(3));
    let mail = dice.roll(6);
    match dice.roll(26) {
        0..=6 => Operation::new(
            "user_create",
            format!(r#"{{"id":"{user}","name":"N","mail":"m{mail}","team":"{team}","n":1.50}}"#),
        ),
        7 => Operation::new("user_create", format!(r#"{{"name":"\u0041","age":{}}}"#, dice.roll(50))),
        8..=10 => Operation::new("user_update", format!(r#"{{"id":"{user}","mail":"m{mail}"}}"#)),
        11 => {
            Operation::new("user_update", format!(r#"{{"id":"{user}","team":"{team}","o":{{"x":{mail},"y":null}}}}"#))
        }
        12 => Operation::new("user_update", format!(r#"{{"id":"{user}","boss":"u{mail}"}}"#)),
        13 => Operation::new("user_update", format!(r#"{{"id":"{user}","mail":{{"a":{mail}}}}}"#)),
        14 => Operation::new("user_put", format!(r#"{{"id":"{user}","name":"P","mail":"m{mail}","_if_version":0}}"#)),
        15 => Operation::new("user_put", format!(r#"{{"id":"{user}","name":"P","boss":"{user}"}}"#)),
        16..=17 => Operation::new("user_delete", format!(r#"{{"id":"{user}"}}"#)),
        18..=19 => Operation::new("team_put", format!(r#"{{"id":"{team}","name":"{mail}"}}"#)),
        20 => Operation::new("team_delete", format!(r#"{{"id":"{team}"}}"#)),
        21 => Operation::new("plan_put", format!(r#"{{"id":"p{mail}","team":"{team}"}}"#)),
        22 => Operation::new("schema_set", users(["cascade", "restrict", "set_null"][dice.roll(3) as usize])),
        23 => Operation::new("schema_set", PLANS),
        24 => Operation::new("schema_set", r#"{"type":"plan"}"#),
        _ => mistake(dice),
    }
}

fn mistake(dice: &mut Dice) -> Operation {
    let (method, data) = [
        ("user_create", r#"{"id":"a b","name":"N"}"#),
        ("user_create", r#"{"id":"u9","name":"N","age":-1}"#),
        ("user_create", r#"{"id":"u9"}"#),
        ("user_create", "[]"),
        ("user_update", r#"{"name":"N"}"#),
        ("user_frobnicate", "{}"),
        ("schema_set", r#"{"type":"user","unique":["name"]}"#),
        ("schema_set", r#"{"type":"user","json_schema":{"pattern":"x"}}"#),
        ("user_put", r#"{"id":"u1","name":"N","_version":1}"#),
    ][dice.roll(9) as usize];
    Operation::new(method, data)
}
