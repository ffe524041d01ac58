//! Lists the files of the built page for the compiler to embed; none, if the page was not built.
#![expect(clippy::disallowed_methods, reason = "cargo tells build scripts by the environment where things are")]

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let place = |name| env::var_os(name).map(PathBuf::from).ok_or_else(|| io::Error::other(format!("{name} is unset")));
    let dist = place("CARGO_MANIFEST_DIR")?.join("ui/dist");
    // A path that is not there is looked at again in every build, so the page is found as soon as it is built.
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        collect(&dist, &mut files)?;
        files.sort();
    }
    let mut list = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&dist).map_err(io::Error::other)?.display().to_string().replace('\\', "/");
        list.push_str(&format!("({name:?}, include_bytes!({:?}).as_slice()),\n", file.display().to_string()));
    }
    list.push(']');
    fs::write(place("OUT_DIR")?.join("files.rs"), list)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
