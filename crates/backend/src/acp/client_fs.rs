//! Files for an agent: read and written inside the worktree, nowhere else.
//!
//! Every path goes through a capability to the worktree's directory, so that `..`, absolute paths elsewhere and symbolic
//! links that lead out are refused by the way files are opened, whatever happens to the tree meanwhile. Writing to
//! `.git` is refused too: what stands there decides which programs git runs.

use std::io::{self, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};

use agent_client_protocol::Error;
use agent_client_protocol::v1::schema;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use cap_tempfile::TempFile;
use serde_json::{Value, json};

/// The files of one worktree, for one agent.
#[derive(Debug)]
pub(super) struct ClientFs {
    root: Dir,
    /// The root as the agent was told it, and as the file system knows it.
    names: [PathBuf; 2],
    /// The largest file, in bytes.
    limit: usize,
}

impl ClientFs {
    /// Opens the worktree.
    pub(super) fn open(worktree: &Path, limit: usize) -> io::Result<Self> {
        let root = Dir::open_ambient_dir(worktree, ambient_authority())?;
        Ok(Self { root, names: [worktree.to_owned(), worktree.canonicalize()?], limit })
    }

    /// Answers `fs/read_text_file`.
    pub(super) fn read(&self, params: &Value) -> Result<Value, Error> {
        let path = self.inside(params)?;
        let text = self.read_text(&path).map_err(|error| explain(&error, params))?;
        let number = |name: &str| params[name].as_u64().and_then(|n| usize::try_from(n).ok());
        let (line, limit) = (number("line"), number("limit"));
        if line.is_none() && limit.is_none() {
            return Ok(json!({ "content": text }));
        }
        let skipped = line.unwrap_or(1).saturating_sub(1);
        let part: String = text.split_inclusive('\n').skip(skipped).take(limit.unwrap_or(usize::MAX)).collect();
        Ok(json!({ "content": part }))
    }

    /// Answers `fs/write_text_file`: the whole file or nothing, with its mode kept and its directories made.
    pub(super) fn write(&self, params: &Value) -> Result<Value, Error> {
        let path = self.inside(params)?;
        let content = params["content"].as_str().ok_or_else(|| refused("content is missing"))?;
        if content.len() > self.limit {
            return Err(refused(format!("the content is larger than {} bytes", self.limit)));
        }
        self.replace(&path, content).map_err(|error| explain(&error, params))?;
        Ok(json!({}))
    }

    /// The path below the root that a request means.
    fn inside(&self, params: &Value) -> Result<PathBuf, Error> {
        let asked =
            params["path"].as_str().filter(|path| !path.is_empty()).ok_or_else(|| refused("path is missing"))?;
        let asked = Path::new(asked);
        if asked.is_relative() {
            return Ok(asked.to_owned());
        }
        self.names
            .iter()
            .find_map(|root| asked.strip_prefix(root).ok())
            .map(Path::to_owned)
            .ok_or_else(|| refused(format!("{} is outside the worktree", asked.display())))
    }

    fn read_text(&self, path: &Path) -> io::Result<String> {
        // Not blocking: a pipe without a writer would hold the thread for ever. For files it changes nothing.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file = self.root.open_with(path, OpenOptions::new().read(true).custom_flags(flags))?;
        regular(&file.metadata()?)?;
        let mut bytes = Vec::new();
        file.take(self.limit as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > self.limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {} bytes", self.limit)));
        }
        String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
    }

    fn replace(&self, path: &Path, content: &str) -> io::Result<()> {
        let (target, mode) = match self.root.canonicalize(path) {
            Ok(target) => {
                let metadata = self.root.metadata(&target)?;
                regular(&metadata)?;
                (target, Some(metadata.permissions()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.root.symlink_metadata(path).is_ok() {
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is a symbolic link to nowhere"));
                }
                (path.to_owned(), None)
            }
            Err(error) => return Err(error),
        };
        let name = target.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if mode.is_none() {
            self.root.create_dir_all(parent)?;
        }
        let parent = self.root.canonicalize(parent)?;
        if is_git(&parent.join(name)) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "git's own files are not for agents"));
        }
        let parent = self.root.open_dir(&parent)?;
        let mut file = TempFile::new(&parent)?;
        file.write_all(content.as_bytes())?;
        if let Some(mode) = mode {
            file.as_file().set_permissions(mode)?;
        }
        file.replace(name)
    }
}

/// Whether a path leads to git's own files, at any depth: a submodule has its own.
fn is_git(path: &Path) -> bool {
    path.components().any(|part| matches!(part, Component::Normal(name) if name.eq_ignore_ascii_case(".git")))
}

fn regular(metadata: &cap_std::fs::Metadata) -> io::Result<()> {
    if metadata.is_file() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

fn refused(reason: impl Into<String>) -> Error {
    Error::invalid_params().data(reason.into())
}

fn explain(error: &io::Error, params: &Value) -> Error {
    let path = params["path"].as_str().unwrap_or_default();
    let is_the_request_s_fault = [
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::InvalidInput,
        io::ErrorKind::InvalidData,
        io::ErrorKind::FileTooLarge,
        io::ErrorKind::IsADirectory,
        io::ErrorKind::NotADirectory,
    ]
    .contains(&error.kind());
    if error.kind() == io::ErrorKind::NotFound {
        schema::Error::resource_not_found(Some(path.to_owned())).into()
    } else if is_the_request_s_fault {
        refused(format!("{path}: {error}"))
    } else {
        Error::internal_error().data(format!("{path}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    struct Tree {
        dir: tempfile::TempDir,
        files: ClientFs,
    }

    fn tree() -> Tree {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("tree")).expect("the worktree");
        fs::write(dir.path().join("secret"), "secret").expect("a file outside");
        let files = ClientFs::open(&dir.path().join("tree"), 1000).expect("it is there");
        Tree { dir, files }
    }

    impl Tree {
        fn at(&self, path: &str) -> PathBuf {
            self.dir.path().join("tree").join(path)
        }

        fn write(&self, path: impl AsRef<Path>, content: &str) -> Result<Value, Error> {
            self.files.write(&json!({ "path": path.as_ref(), "content": content }))
        }

        fn read(&self, path: impl AsRef<Path>) -> Result<Value, Error> {
            self.files.read(&json!({ "path": path.as_ref() }))
        }
    }

    #[test]
    fn what_was_written_is_read_by_absolute_and_relative_path() {
        let tree = tree();
        tree.write(tree.at("a/b/c.txt"), "one\ntwo\nthree\n").expect("directories are made");
        assert_eq!(tree.read("a/b/c.txt").expect("there")["content"], "one\ntwo\nthree\n");
        let part = tree.files.read(&json!({ "path": tree.at("a/b/c.txt"), "line": 2, "limit": 1 })).expect("there");
        assert_eq!(part["content"], "two\n");
        let none = tree.files.read(&json!({ "path": tree.at("a/b/c.txt"), "line": 9 })).expect("there");
        assert_eq!(none["content"], "");
    }

    #[test]
    fn a_missing_file_is_a_resource_not_found() {
        let tree = tree();
        let error = tree.read(tree.at("no.txt")).expect_err("missing");
        assert_eq!(i32::from(error.code), -32002);
    }

    #[test]
    fn nothing_outside_the_worktree_is_read_or_written() {
        let tree = tree();
        symlink(tree.dir.path(), tree.at("up")).expect("a link out");
        symlink(tree.dir.path().join("secret"), tree.at("link")).expect("a link out");
        symlink(tree.dir.path().join("new"), tree.at("dangling")).expect("a link to nowhere");
        fs::create_dir(tree.at("sub")).expect("a directory");
        let elsewhere = tree.dir.path().join("secret");
        let odd = tree.at("sub/../../secret");
        for path in [elsewhere.as_path(), &odd, Path::new("../secret"), Path::new("up/secret"), Path::new("link")] {
            tree.read(path).expect_err("outside");
            tree.write(path, "stolen").expect_err("outside");
        }
        tree.write("up/new", "stolen").expect_err("outside");
        tree.write("up/deep/new", "stolen").expect_err("outside");
        tree.write("dangling", "stolen").expect_err("outside");
        assert_eq!(fs::read_to_string(&elsewhere).expect("untouched"), "secret");
        assert_eq!(fs::read_dir(tree.dir.path()).expect("readable").count(), 2, "nothing new outside");
    }

    #[test]
    fn the_mode_is_kept_and_a_link_inside_is_followed() {
        let tree = tree();
        fs::write(tree.at("run.sh"), "old").expect("a script");
        fs::set_permissions(tree.at("run.sh"), fs::Permissions::from_mode(0o750)).expect("its mode");
        symlink("run.sh", tree.at("alias")).expect("a link inside");
        tree.write("alias", "new").expect("inside");
        assert_eq!(fs::read_to_string(tree.at("run.sh")).expect("there"), "new");
        let mode = fs::metadata(tree.at("run.sh")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o750);
        assert!(fs::symlink_metadata(tree.at("alias")).expect("there").is_symlink());
    }

    #[test]
    fn git_s_own_files_are_not_for_agents() {
        let tree = tree();
        fs::create_dir(tree.at(".git")).expect("a repository");
        symlink(".git", tree.at("g")).expect("a link to it");
        for path in [".git", ".git/hooks/post-checkout", ".GIT/config", "g/config", "sub/.git/config"] {
            tree.write(path, "x").expect_err("git's own");
        }
        tree.write(".gitignore", "target\n").expect("not git's own");
    }

    #[test]
    fn what_is_no_text_file_of_a_sensible_size_is_refused() {
        let tree = tree();
        fs::write(tree.at("binary"), [0xff, 0xfe]).expect("a file");
        fs::write(tree.at("large"), vec![b'x'; 1001]).expect("a file");
        let pipe = std::ffi::CString::new(tree.at("pipe").to_str().expect("utf-8")).expect("no nul");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            pipe.as_c_str(),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .expect("a pipe");
        for path in ["binary", "large", "pipe", "."] {
            let error = tree.read(path).expect_err("no text file");
            assert_eq!(i32::from(error.code), -32602, "{path}: {error}");
        }
        tree.write("a", &"x".repeat(1001)).expect_err("too large");
        tree.write("pipe", "x").expect_err("not a file");
        tree.files.write(&json!({ "path": "a" })).expect_err("no content");
        tree.files.read(&Value::Null).expect_err("no path");
    }
}
