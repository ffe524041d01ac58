//! The web page, embedded in the program that serves it.
//!
//! The page is written in TypeScript in `ui` and built by `cargo xtask up`. This crate builds without it, and without
//! node: [`page`] then says that the page was not built and how to build it. Which of the two it is, is settled when
//! this crate is compiled.
//!
//! ```
//! let page = boocoder_web::page();
//! assert_eq!(page.content_type, "text/html; charset=utf-8");
//! assert!(boocoder_web::asset("no-such-file.js").is_none());
//! ```

/// The files of `ui/dist` by their path there; empty if the page was not built.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Served in place of a page that was not built.
const NOT_BUILT: &str = include_str!("not_built.html");

/// What the page may load and do. Everything comes from the server itself, and nothing is inline but pictures that the
/// agents send.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// How long a browser may keep an [`asset`]: its name holds a hash of its content, so it never changes.
pub const ASSET_CACHING: &str = "private, max-age=31536000, immutable";

/// A file, and what to say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
}

/// Whether the page was built before this crate was.
pub fn is_built() -> bool {
    !FILES.is_empty()
}

/// The page, to be served at `/` and never cached; or one that says how to build it.
pub fn page() -> File {
    find(FILES, "index.html").unwrap_or(File { content_type: content_type("index.html"), bytes: NOT_BUILT.as_bytes() })
}

/// What the page loads from `/assets/NAME`.
pub fn asset(name: &str) -> Option<File> {
    find(FILES, &format!("assets/{name}"))
}

fn find(files: &[(&str, &'static [u8])], path: &str) -> Option<File> {
    let (name, bytes) = files.iter().find(|(name, _)| *name == path)?;
    Some(File { content_type: content_type(name), bytes })
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_its_whole_path_alone() {
        let files: &[(&str, &'static [u8])] = &[("assets/a.js", b"1"), ("index.html", b"2")];
        let script = File { content_type: "text/javascript; charset=utf-8", bytes: b"1" };
        assert_eq!(find(files, "assets/a.js"), Some(script));
        for path in ["a.js", "assets/", "assets/../index.html", ""] {
            assert_eq!(find(files, path), None, "{path:?}");
        }
    }

    #[test]
    fn a_kind_that_is_not_known_is_not_guessed() {
        assert_eq!(content_type("x.css"), "text/css; charset=utf-8");
        assert_eq!(content_type("LICENSE"), "application/octet-stream");
    }

    #[test]
    fn what_the_page_names_is_there_and_nothing_of_it_is_inline() {
        let text = std::str::from_utf8(page().bytes).unwrap();
        let assets: Vec<&str> = text.split('"').filter_map(|word| word.strip_prefix("/assets/")).collect();
        assert_eq!(is_built(), !assets.is_empty(), "{text}");
        for name in assets {
            assert!(asset(name).is_some_and(|file| !file.bytes.is_empty()), "{name}");
        }
        assert!(!text.contains("<style") && !text.contains("<script>"), "{text}");
        assert!(is_built() || text.contains("cargo xtask up"));
    }
}
