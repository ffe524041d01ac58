//! What changed between two trees, exactly and as it is shown.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use boocoder_model::Operation;

use crate::fixture::{Fixture, diff, git, link, set_mode, write};

#[tokio::test]
async fn equal_trees_have_no_difference() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    assert_eq!(diff(&fixture.checkout().await).await, []);
}

#[tokio::test]
async fn hunks_tell_their_lines() {
    let base: String = (1..=40).map(|line| format!("line {line}\n")).collect();
    let fixture = Fixture::new(&[("a.txt", base.as_bytes())]).await;
    let checkout = fixture.checkout().await;
    let edited = base.replace("line 5\n", "line five\nand a half\n").replace("line 30\n", "");
    write(&checkout.path().join("a.txt"), &edited);
    let files = diff(&checkout).await;
    let [file] = &files[..] else { panic!("{files:?}") };
    assert_eq!(file.change.operation, Operation::Edit);
    let ranges: Vec<_> =
        file.hunks.iter().map(|hunk| (hunk.old_start, hunk.old_lines, hunk.new_start, hunk.new_lines)).collect();
    assert_eq!(ranges, [(2, 7, 2, 8), (27, 7, 28, 6)]);
    assert!(file.hunks[0].text.starts_with("@@ -2,7 +2,8 @@"));
    assert!(file.hunks[0].text.contains("\n-line 5\n+line five\n+and a half\n"));
    let headers = file.diff.find("@@").unwrap();
    let hunks: String = file.hunks.iter().map(|hunk| hunk.text.as_str()).collect();
    assert_eq!(&file.diff[headers..], hunks, "the hunks are the patch");
    assert!(file.diff.starts_with("diff --git a/a.txt b/a.txt\n"));
}

#[tokio::test]
async fn every_kind_of_change_is_told() {
    let long: String = (0..50).map(|line| format!("{line}\n")).collect();
    let fixture = Fixture::with(
        &[("edit", b"1\n"), ("delete", b"1\n"), ("mode", b"1\n"), ("old name", long.as_bytes()), ("bin", b"\0\x01")],
        |root| link("edit", &root.join("link")),
    )
    .await;
    let checkout = fixture.checkout().await;
    let path = checkout.path();
    write(&path.join("edit"), "2\n");
    fs::remove_file(path.join("delete")).unwrap();
    set_mode(&path.join("mode"), 0o755);
    fs::rename(path.join("old name"), path.join("new name")).unwrap();
    write(&path.join("bin"), b"\0\x02");
    fs::remove_file(path.join("link")).unwrap();
    write(&path.join("link"), "a file now\n");
    write(&path.join("create"), "");

    let files = diff(&checkout).await;
    let told: Vec<_> = files
        .iter()
        .map(|file| {
            let mode = |blob: &Option<boocoder_model::BlobRef>| blob.as_ref().map_or("-".into(), |b| b.mode.clone());
            let modes = format!("{} {}", mode(&file.change.base), mode(&file.change.target));
            (file.change.path.as_str(), file.change.operation, modes, file.binary, file.hunks.len())
        })
        .collect();
    let expected = [
        ("bin", Operation::Edit, "100644 100644", true, 0),
        ("create", Operation::Create, "- 100644", false, 0),
        ("delete", Operation::Delete, "100644 -", false, 1),
        ("edit", Operation::Edit, "100644 100644", false, 1),
        ("link", Operation::Edit, "120000 100644", false, 0),
        ("mode", Operation::Mode, "100644 100755", false, 0),
        ("new name", Operation::Rename, "100644 100644", false, 0),
    ];
    assert_eq!(
        told,
        expected.map(|(path, operation, modes, binary, hunks)| (path, operation, modes.into(), binary, hunks))
    );
    assert_eq!(files[6].change.old_path.as_ref().unwrap().as_str(), "old name");
    assert!(files[4].diff.contains("deleted file mode 120000") && files[4].diff.contains("+a file now"));
    assert!(files[5].diff.contains("old mode 100644\nnew mode 100755\n"));
}

#[tokio::test]
async fn odd_names_and_odd_content_come_through() {
    let fixture = Fixture::new(&[("a.txt", b"no newline at the end")]).await;
    let checkout = fixture.checkout().await;
    let names: [&[u8]; 7] =
        [b"\"quoted\"", b"-rf", b"caf\xe9", b"diff --git a b", b"new\nline", b"tab\there", "ü → x".as_bytes()];
    let content = b"diff --git a/x b/x\n@@ -1 +1 @@\r\n--- a/x\n\xff\n\n";
    for name in names {
        write(&checkout.path().join(OsStr::from_bytes(name)), content);
    }
    write(&checkout.path().join("a.txt"), "still none");
    let files = diff(&checkout).await;
    let paths: Vec<&[u8]> = files.iter().map(|file| file.change.path.as_path().as_os_str().as_bytes()).collect();
    let mut expected = names.to_vec();
    expected.push(b"a.txt");
    expected.sort_unstable();
    assert_eq!(paths, expected);
    for file in files {
        assert!(file.hunks.len() == 1 && !file.binary, "{file:?}");
        if file.change.path.as_str() == "a.txt" {
            assert_eq!(file.hunks[0].text.matches("\\ No newline at end of file").count(), 2);
        } else {
            assert_eq!(file.hunks[0].new_lines, 5);
            let text = &file.hunks[0].text;
            assert!(text.contains("\n+@@ -1 +1 @@\r\n") && text.contains("\n+\u{fffd}\n"), "{text}");
        }
    }
}

#[tokio::test]
async fn the_users_taste_in_diffs_does_not_matter() {
    let fixture = Fixture::new(&[("a.txt", b"1\n\n2\n"), (".gitattributes", b"*.txt diff=odd\n")]).await;
    for (key, value) in [
        ("diff.noprefix", "true"),
        ("diff.mnemonicPrefix", "true"),
        ("color.ui", "always"),
        ("diff.external", "false"),
        ("diff.odd.textconv", "false"),
        ("diff.odd.command", "false"),
        ("diff.suppressBlankEmpty", "true"),
        ("diff.renames", "false"),
        ("diff.context", "0"),
        ("diff.orderFile", "nowhere"),
    ] {
        git(fixture.root(), &["config", key, value]);
    }
    let checkout = fixture.checkout().await;
    write(&checkout.path().join("a.txt"), "1\n\n3\n");
    let files = diff(&checkout).await;
    assert!(files[0].diff.starts_with("diff --git a/a.txt b/a.txt\n"), "{}", files[0].diff);
    assert_eq!(files[0].hunks[0].text, "@@ -1,3 +1,3 @@\n 1\n \n-2\n+3\n");
}

#[tokio::test]
async fn a_large_file_is_shown_as_binary_is() {
    let fixture = Fixture::new(&[]).await;
    let checkout = fixture.checkout().await;
    write(&checkout.path().join("large.txt"), "0123456789\n".repeat(500_000));
    let files = diff(&checkout).await;
    assert!(files[0].binary && files[0].diff.len() < 1000);
}
