//! What is read from the process's environment: once, here, at the start.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use boocoder_backend::Environment;

/// The parts of the environment that decide something.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// All variables, of which agents get those that are allowed.
    pub variables: Environment,
    /// `DATABASE_URL`.
    pub database_url: Option<String>,
    /// Whether this is root, which Postgres refuses to be and whose home its account cannot enter.
    pub root: bool,
}

impl Surroundings {
    /// The environment of this process.
    pub fn of_this_process() -> Self {
        let variables: Environment = std::env::vars_os().collect();
        let database_url = variables.get(OsStr::new("DATABASE_URL")).and_then(|url| url.clone().into_string().ok());
        Self {
            database_url: database_url.filter(|url| !url.is_empty()),
            root: rustix::process::geteuid().is_root(),
            variables,
        }
    }

    /// The search path for programs.
    pub fn search_path(&self) -> OsString {
        self.variables.get(OsStr::new("PATH")).cloned().unwrap_or_default()
    }

    /// The home directory.
    pub fn home(&self) -> Option<PathBuf> {
        self.directory("HOME")
    }

    /// Where data is kept unless it is said otherwise: the platform's own place.
    pub fn data_dir(&self) -> Option<PathBuf> {
        if self.root {
            return Some(PathBuf::from("/var/lib/boocoder"));
        }
        let platform = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" };
        Some(self.directory("XDG_DATA_HOME").or_else(|| Some(self.home()?.join(platform)))?.join("boocoder"))
    }

    /// Where the configuration is looked for unless it is said otherwise.
    pub fn config_file(&self) -> Option<PathBuf> {
        let directory = self.directory("XDG_CONFIG_HOME").or_else(|| Some(self.home()?.join(".config")))?;
        Some(directory.join("boocoder/config.toml"))
    }

    /// A variable that names a directory. Relative ones count as unset, as the XDG specification has it.
    fn directory(&self, name: &str) -> Option<PathBuf> {
        self.variables.get(OsStr::new(name)).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(root: bool, variables: &[(&str, &str)]) -> Surroundings {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Surroundings { variables, root, database_url: None }
    }

    #[test]
    fn data_and_configuration_go_where_the_platform_keeps_them() {
        let own = around(false, &[("HOME", "/home/me"), ("XDG_DATA_HOME", "/data"), ("XDG_CONFIG_HOME", "relative")]);
        assert_eq!(own.data_dir(), Some("/data/boocoder".into()));
        assert_eq!(own.config_file(), Some("/home/me/.config/boocoder/config.toml".into()));
        assert_eq!(around(true, &[("HOME", "/root")]).data_dir(), Some("/var/lib/boocoder".into()));
        assert_eq!(around(false, &[]).data_dir(), None);
        #[cfg(target_os = "linux")]
        assert_eq!(around(false, &[("HOME", "/h")]).data_dir(), Some("/h/.local/share/boocoder".into()));
    }
}
