//! The ladder: which crate may depend on what.
//!
//! A crate stands on a rung and depends only on crates of lower rungs, never of its own. Some outside crates are kept
//! to those of ours that are there to wrap them. Dev-dependencies are free.

use crate::metadata::{Dependency, Metadata, Package};

/// The rungs from the bottom up. A new crate is added here, on the lowest rung that it can stand on.
const RUNGS: [&[&str]; 5] = [
    &["boocoder-model"],
    &[
        "boocoder-acp-mapper",
        "boocoder-hunks",
        "boocoder-turn-guard",
        "boocoder-usage-mapper",
        "boocoder-wire",
        "boocoder-web",
        "boocoder-testkit",
    ],
    &["boocoder-worktree", "boocoder-backend", "boocoder-store", "boocoder-local-pg", "boocoder-demo-agent"],
    &["boocoder-dispatch"],
    &["boocoder"],
];

/// The first rung that may have a runtime.
const RUNTIME_RUNG: usize = 2;

/// Stands beside the ladder: it depends on none of our crates.
const BESIDE: &str = "xtask";

/// Depended on by tests alone.
const FOR_TESTS: &str = "boocoder-testkit";

/// Outside crates, and which of ours alone may name them.
const KEPT: [(&[&str], &[&str]); 5] = [
    (&["agent-client-protocol"], &["boocoder-backend", "boocoder-demo-agent"]),
    (&[SCHEMA], &["boocoder-acp-mapper"]),
    (
        &["tokio-postgres", "deadpool-postgres", "postgres", "postgres-types", "refinery", "sqlx"],
        &["boocoder-store", "boocoder-local-pg"],
    ),
    (&["warp", "toml", "clap"], &["boocoder"]),
    (&["anyhow"], &["boocoder", BESIDE]),
];

/// Named by our mapper and by the SDK, which must mean the same copy of it.
const SCHEMA: &str = "agent-client-protocol-schema";

/// What breaks the ladder, a sentence each.
pub(crate) fn check(metadata: &Metadata) -> Vec<String> {
    let mut findings = Vec::new();
    for package in metadata.members() {
        findings.extend(misplaced(package));
        for dependency in package.dependencies.iter().filter(|dependency| dependency.ships()) {
            findings.extend(wrong_direction(package, dependency));
            findings.extend(wrong_owner(package, dependency));
            findings.extend(wrong_features(package, dependency));
        }
        if rung(&package.name).is_some_and(|rung| rung < RUNTIME_RUNG) && metadata.linked(package).contains(&"tokio") {
            findings.push(format!("{} gets tokio, which starts at rung {RUNTIME_RUNG}", package.name));
        }
    }
    for name in RUNGS.iter().flat_map(|rung| rung.iter()) {
        if !metadata.members().any(|package| package.name == *name) {
            findings.push(format!("{name} has a rung in xtask/src/ladder.rs, but there is no such crate"));
        }
    }
    let schemas: Vec<&str> =
        metadata.packages.iter().filter(|package| package.name == SCHEMA).map(|p| p.version.as_str()).collect();
    if schemas.len() > 1 {
        findings.push(format!("{SCHEMA} is there in versions {}: ours must be the SDK's", schemas.join(" and ")));
    }
    findings
}

fn rung(name: &str) -> Option<usize> {
    RUNGS.iter().position(|rung| rung.contains(&name))
}

fn misplaced(package: &Package) -> Option<String> {
    let known = package.name == BESIDE || rung(&package.name).is_some();
    (!known).then(|| format!("{} has no rung yet: give it one in xtask/src/ladder.rs", package.name))
}

fn wrong_direction(package: &Package, dependency: &Dependency) -> Option<String> {
    let (from, to) = (&package.name, &dependency.name);
    if to == FOR_TESTS || to == BESIDE {
        return Some(format!("{from} depends on {to}, which may be a dev-dependency only"));
    }
    let below = rung(to)?;
    let allowed = rung(from).is_some_and(|above| below < above);
    (!allowed).then(|| format!("{from} depends on {to}, which is not on a lower rung"))
}

fn wrong_owner(package: &Package, dependency: &Dependency) -> Option<String> {
    let (_, owners) = KEPT.iter().find(|(names, _)| names.contains(&dependency.name.as_str()))?;
    let allowed = owners.contains(&package.name.as_str());
    (!allowed).then(|| format!("{} names {}, which only {} may", package.name, dependency.name, owners.join(", ")))
}

fn wrong_features(package: &Package, dependency: &Dependency) -> Option<String> {
    let lean = !dependency.uses_default_features;
    match (package.name.as_str(), dependency.name.as_str()) {
        (_, SCHEMA) if !lean => Some(format!("{} takes the default features of {SCHEMA}", package.name)),
        ("boocoder-dispatch", "boocoder-store")
            if !lean || dependency.features.iter().any(|name| name == "postgres") =>
        {
            Some(
                "boocoder-dispatch takes the database with boocoder-store: it must work with MemStore alone".to_owned(),
            )
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A workspace with every crate of the ladder, of which some depend on something, and crates from outside.
    fn workspace(dependencies: &[(&str, Value)], outside: &[(&str, &str)]) -> Metadata {
        let ours: Vec<&str> = RUNGS.iter().flat_map(|rung| rung.iter().copied()).chain([BESIDE]).collect();
        let of =
            |name: &str| dependencies.iter().filter_map(|(from, to)| (*from == name).then_some(to)).collect::<Vec<_>>();
        let packages =
            ours.iter().map(|name| json!({"id": name, "name": name, "version": "0.1.0", "dependencies": of(name)}));
        let outside = outside.iter().map(|(name, version)| json!({"id": name, "name": name, "version": version}));
        let nodes = ours.iter().map(|name| {
            let deps = of(name).into_iter().map(|to| json!({"pkg": to["name"], "dep_kinds": [{"kind": to["kind"]}]}));
            json!({"id": name, "deps": deps.collect::<Vec<_>>()})
        });
        let all = json!({
            "packages": packages.chain(outside).collect::<Vec<_>>(),
            "workspace_members": ours,
            "resolve": {"nodes": nodes.collect::<Vec<_>>()},
        });
        serde_json::from_value(all).unwrap()
    }

    fn normal(name: &str) -> Value {
        json!({"name": name, "kind": null, "uses_default_features": true})
    }

    fn one_finding(from: &str, to: Value) -> String {
        let mut findings = check(&workspace(&[(from, to)], &[]));
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings.remove(0)
    }

    #[test]
    fn down_is_allowed_up_and_sideways_are_not() {
        assert_eq!(check(&workspace(&[("boocoder-wire", normal("boocoder-model"))], &[])), [""; 0]);
        for to in ["boocoder-store", "boocoder-dispatch"] {
            assert!(one_finding("boocoder-backend", normal(to)).ends_with("not on a lower rung"));
        }
        assert!(one_finding(BESIDE, normal("boocoder-model")).ends_with("not on a lower rung"));
    }

    #[test]
    fn dev_dependencies_are_free_and_the_testkit_is_one() {
        let dev = json!({"name": "boocoder-dispatch", "kind": "dev", "uses_default_features": true});
        assert_eq!(check(&workspace(&[("boocoder-model", dev)], &[])), [""; 0]);
        let finding = one_finding("boocoder-dispatch", normal("boocoder-testkit"));
        assert!(finding.ends_with("may be a dev-dependency only"), "{finding}");
    }

    #[test]
    fn a_wrapped_crate_is_named_by_its_wrapper_alone() {
        assert_eq!(check(&workspace(&[("boocoder", normal("warp"))], &[])), [""; 0]);
        for (from, to) in [
            ("boocoder-dispatch", "warp"),
            ("boocoder-dispatch", "tokio-postgres"),
            ("boocoder-acp-mapper", "agent-client-protocol"),
            ("boocoder-store", "anyhow"),
        ] {
            assert!(one_finding(from, normal(to)).contains("which only"));
        }
        assert!(one_finding("boocoder-acp-mapper", normal(SCHEMA)).contains("default features"));
        assert!(one_finding("boocoder-dispatch", normal("boocoder-store")).contains("MemStore"));
    }

    #[test]
    fn a_pure_crate_gets_no_runtime_by_way_of_another() {
        let by_way = [("boocoder-wire", normal("boocoder-model")), ("boocoder-model", normal("tokio"))];
        let found = check(&workspace(&by_way, &[("tokio", "1.0.0")]));
        let expected =
            ["boocoder-model", "boocoder-wire"].map(|name| format!("{name} gets tokio, which starts at rung 2"));
        assert_eq!(found, expected);
        let runtime = [("boocoder-backend", normal("tokio"))];
        assert_eq!(check(&workspace(&runtime, &[("tokio", "1.0.0")])), [""; 0]);
    }

    #[test]
    fn two_copies_of_the_schema_are_found() {
        let found = check(&workspace(&[], &[(SCHEMA, "1.15.1"), (SCHEMA, "2.0.0")]));
        assert_eq!(found, [format!("{SCHEMA} is there in versions 1.15.1 and 2.0.0: ours must be the SDK's")]);
    }

    #[test]
    fn this_workspace_keeps_to_the_ladder() {
        assert_eq!(check(&Metadata::load().unwrap()), [""; 0]);
    }
}
