//! What `cargo metadata` says of the workspace, as far as the checks look at it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::tools;

/// The workspace and everything in its Cargo.lock that is built on some machine.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    #[serde(default)]
    pub(crate) target_directory: PathBuf,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

/// One package, ours or not.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) manifest_path: PathBuf,
    #[serde(default)]
    pub(crate) dependencies: Vec<Dependency>,
    #[serde(default)]
    pub(crate) features: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
}

/// A dependency as its manifest asks for it.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    pub(crate) uses_default_features: bool,
    #[serde(default)]
    pub(crate) features: Vec<String>,
}

/// Something that a package builds.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    #[serde(default)]
    deps: Vec<NodeDependency>,
}

#[derive(Debug, Deserialize)]
struct NodeDependency {
    pkg: String,
    #[serde(default)]
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Debug, Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

impl Metadata {
    /// Asks cargo.
    ///
    /// # Errors
    /// When cargo cannot read the manifests; its own words are in the error.
    pub(crate) fn load() -> Result<Self> {
        let mut cargo = Command::new("cargo");
        cargo.args(["metadata", "--format-version", "1"]).current_dir(tools::root()).stdin(Stdio::null());
        let output = cargo.output().context("cannot run cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("cargo metadata printed something else than expected")
    }

    /// The packages of the workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The names of all packages that are linked into this one, itself included; dev-dependencies are not.
    pub(crate) fn linked(&self, package: &Package) -> Vec<&str> {
        let mut ids = vec![package.id.as_str()];
        let mut next = 0;
        while let Some(id) = ids.get(next).copied() {
            let node = self.resolve.nodes.iter().find(|node| node.id == id);
            for dependency in node.into_iter().flat_map(|node| &node.deps) {
                let normal = dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
                if normal && !ids.contains(&dependency.pkg.as_str()) {
                    ids.push(&dependency.pkg);
                }
            }
            next += 1;
        }
        self.packages.iter().filter(|package| ids.contains(&package.id.as_str())).map(|p| p.name.as_str()).collect()
    }
}

impl Dependency {
    /// Whether it is more than a dev-dependency.
    pub(crate) fn ships(&self) -> bool {
        self.kind.as_deref() != Some("dev")
    }
}
