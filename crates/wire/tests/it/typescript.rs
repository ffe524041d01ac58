//! The page's types are those of this crate.

use std::fs;
use std::path::{Path, PathBuf};

use boocoder_wire::typescript;

/// Types with a JSON form that no client of the server meets.
const NOT_SENT: [&str; 1] = ["ServerInfo"];

fn below(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn what_is_checked_in_is_what_would_be_generated() {
    let kept = fs::read_to_string(below("../web/ui/src/generated/wire.ts")).unwrap();
    let module = typescript::module();
    let same = kept.lines().zip(module.lines()).take_while(|(is, would_be)| is == would_be).count();
    assert!(
        kept == module,
        "crates/web/ui/src/generated/wire.ts does not follow crates/wire from line {} on: run `cargo xtask gen`",
        same + 1
    );
}

#[test]
fn every_type_with_a_json_form_is_there() {
    let module = typescript::module();
    let mut seen = 0;
    for folder in ["src", "src/http"] {
        for entry in fs::read_dir(below(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let mut has_json = false;
            for line in text.lines() {
                if line.starts_with("#[derive(") {
                    has_json = line.contains("Deserialize");
                }
                let Some(rest) = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum ")) else {
                    continue;
                };
                let name = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap();
                if has_json && !NOT_SENT.contains(&name) {
                    seen += 1;
                    let declared = module.matches(&format!("export type {name} = ")).count();
                    assert_eq!(declared, 1, "{name} of {} is not in src/typescript.rs, or twice", path.display());
                }
            }
        }
    }
    assert_eq!(seen, module.matches("export type ").count());
}

#[test]
fn fields_are_optional_as_serde_makes_them() {
    let module = typescript::module();
    let declared = |name: &str| {
        let (_, rest) = module.split_once(&format!("export type {name} = ")).unwrap();
        rest.split_once(";\n").unwrap().0
    };
    for (name, fields) in [
        // A frame is its body with its number, which is never a bigint.
        ("Frame", &["FrameBody & {", "seq: number,", "chat_id?: string,"][..]),
        // Absent rather than null, and the other way round.
        ("Interaction", &["session_id: string | null,", "tool_call?: ToolCall,", "schema?: unknown,"]),
        ("Hunk", &["agent: string | null,", "task_id?: string,", "old_start: number,"]),
        ("PendingChange", &["agents: Array<string | null>,"]),
        ("PickedChange", &["hunks?: Array<string>,"]),
        ("Used", &["cost: number | null,", "costs?: { [key in string]: number },"]),
        // Enums: told apart by a tag, by their fields, and plain words.
        ("Content", &["{ \"type\": \"text\",", "} | { \"type\": \"resource_link\","]),
        ("NewAnswer", &["option_id: string,\n} | {", "action: AnswerAction,", "content?: unknown,"]),
        ("Contents", &["string | Array<Content>"]),
        ("Approval", &["\"ask\" | \"auto\""]),
        // What is flattened stands in place.
        ("AgentSession", &["input_tokens: number,", "last_active_at: string | null,"]),
        ("Problem", &["} & (Details | {})"]),
    ] {
        for field in fields {
            assert!(declared(name).contains(field), "{name} has no {field:?}: {}", declared(name));
        }
    }
    assert!(!module.contains("bigint") && !module.lines().any(|line| line.contains("?: ") && line.contains("null")));
}
