//! The workspace keeps its layers, and small crates show what counts as a use.

use std::path::Path;

use super::names::Place;
use super::rules::{Modules, Rule, violations};
use super::*;

#[test]
fn the_workspace_has_no_circles_and_keeps_its_layers() {
    let crates = workspace_crates().unwrap();
    let modules: usize = crates.iter().map(|one| one.modules.len()).sum();
    assert!(crates.len() >= 7 && modules > 200, "{} crates with {modules} modules", crates.len());
    let found = findings(&crates);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A crate with these files; the first is its root.
fn crate_of(files: &[(&str, &str)]) -> Crate {
    let read = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        Ok(found.map(|(_, text)| (*text).to_owned()))
    };
    Crate { name: "ours".to_owned(), modules: syntax::modules(Path::new(files[0].0), &read).unwrap() }
}

/// The circles of a crate with two modules, of which `b` uses `a` and `a` contains `code`.
fn circles(code: &str) -> Vec<String> {
    let root = "mod a; mod b; mod c; pub use b::Shown; pub fn root() {}";
    let b = "pub use inner::Deep; use crate::a; pub struct B; pub struct Shown; pub mod inner { pub struct Deep; }";
    let c = "pub use crate::b::*;";
    let files = [("src/lib.rs", root), ("src/a.rs", code), ("src/b/mod.rs", b), ("src/c.rs", c)];
    Graph::of_top_level_modules(&crate_of(&files)).circles()
}

/// The use of `b` in `a`, without the line of `b`'s.
fn use_of_b(code: &str) -> Option<String> {
    let line = circles(code).into_iter().next()?.lines().nth(1)?.to_owned();
    Some(line.trim().to_owned())
}

#[test]
fn a_circle_names_one_place_for_each_use() {
    assert_eq!(
        circles("\nuse crate::b::B;\nfn f(_: crate::b::B) {}"),
        ["ours: these modules form a circle: a → b → a
  src/a.rs:2: a uses b (crate::b::B)
  src/b/mod.rs:1: b uses a (crate::a)
"]
    );
}

#[test]
fn all_kinds_of_paths_count() {
    for (code, path) in [
        ("use crate::b;", "crate::b"),
        ("use crate::{c, b::{self as other}};", "crate::b"),
        ("use crate::b::*;", "crate::b"),
        ("use super::b::B as Bee;", "super::b::B"),
        ("mod inner { use super::super::b::B; }", "super::super::b::B"),
        ("mod inner { fn f() { super::super::b::g() } }", "super::super::b::g"),
        ("fn f() -> Option<crate::b::B> { None }", "crate::b::B"),
        ("impl crate::b::B {}", "crate::b::B"),
        ("fn f() { match 1 { crate::b::ONE => {} _ => {} } }", "crate::b::ONE"),
        ("fn f() { use crate::b::B; }", "crate::b::B"),
        ("fn f() { println!(\"{}\", crate::b::ONE); }", "crate::b::ONE"),
        ("#[derive(Args)] struct A { #[arg(value_parser = crate::b::parse)] a: u8 }", "crate::b::parse"),
        ("struct A { #[serde(default = \"crate::b::one\")] a: u8 }", "crate::b::one"),
        // Through a name of the root, or of a module that passes it on.
        ("use crate::Shown;", "crate::Shown"),
        ("use crate::b::Deep;", "crate::b::Deep"),
        ("fn f() { crate::c::B; }", "crate::c::B"),
    ] {
        let expected = format!("src/a.rs:1: a uses b ({path})");
        let found = use_of_b(code);
        let text = circles(code).concat();
        assert!(found.is_some() && text.contains(&expected), "{code}: {text}");
    }
}

#[test]
fn tests_comments_and_the_root_do_not_count() {
    for code in [
        "#[cfg(test)] mod tests { use crate::b::B; }",
        "#[cfg(test)] use crate::b::B;",
        "#[cfg(all(test, unix))] fn f() { crate::b::g() }",
        "struct A; impl A { #[cfg(test)] fn f() { crate::b::g() } }",
        "#[test] fn f() { crate::b::g() }",
        "/// See [`crate::b::B`].\nstruct A;",
        "pub(in crate::b) struct A;",
        "fn f() { crate::root(); }",
        "fn f(text: &str) { text::b::g(); other::b::B::new(); }",
        "struct S; impl S { fn f() { Self::b(); } }",
    ] {
        assert_eq!(circles(code), [] as [&str; 0], "{code}");
    }
    assert_eq!(circles("#[cfg(any(test, unix))] use crate::b::B;").len(), 1);
    assert_eq!(circles("#[cfg(not(test))] use crate::b::B;").len(), 1);
}

#[test]
fn a_larger_circle_is_shown_by_a_shortest_one() {
    let root = "mod a; mod b; mod c;";
    let files = [
        ("src/lib.rs", root),
        ("src/a.rs", "use crate::b::B;"),
        ("src/b.rs", "use crate::c::C; pub struct B;"),
        ("src/c.rs", "use crate::a; use crate::b::B; pub struct C;"),
    ];
    let circles = Graph::of_top_level_modules(&crate_of(&files)).circles();
    assert!(circles[0].starts_with("ours: these modules form a circle: a → b → c → a\n"), "{circles:?}");
    let files = [
        ("src/lib.rs", root),
        ("src/a.rs", "use crate::b::B; pub struct A;"),
        ("src/b.rs", "use crate::a::A; use crate::c::C; pub struct B;"),
        ("src/c.rs", "use crate::b::B; pub struct C;"),
    ];
    let circles = Graph::of_top_level_modules(&crate_of(&files)).circles();
    assert_eq!(circles.len(), 1);
    assert!(
        circles[0].starts_with("ours: 3 modules form circles (a, b, c), for example a → b → a\n"),
        "{circles:?}"
    );
}

#[test]
fn files_of_one_module_form_circles_too() {
    let files = [
        ("src/lib.rs", "mod a;"),
        ("src/a.rs", "mod one; mod two; pub use one::One;"),
        ("src/a/one.rs", "use super::two::Two; pub struct One;"),
        ("src/a/two.rs", "#[path = \"elsewhere/three.rs\"] mod three; use super::One; pub struct Two;"),
        ("src/a/elsewhere/three.rs", ""),
    ];
    let one = crate_of(&files);
    assert_eq!(Graph::of_top_level_modules(&one).circles(), [] as [&str; 0]);
    assert_eq!(
        Graph::of_files(&one).circles(),
        ["ours: these files form a circle: src/a/one.rs → src/a/two.rs → src/a/one.rs
  src/a/one.rs:1: src/a/one.rs uses src/a/two.rs (super::two::Two)
  src/a/two.rs:1: src/a/two.rs uses src/a/one.rs (super::One)
"]
    );
}

#[test]
fn imports_that_refer_to_each_other_end() {
    let one = crate_of(&[
        ("src/lib.rs", "mod a; mod b; use a::*; use b::*;"),
        ("src/a.rs", "pub use crate::b::X;"),
        ("src/b.rs", "pub use crate::a::X; pub use super::*;"),
    ]);
    let path = ["crate", "a", "X"].map(str::to_owned);
    assert!(one.resolve(1, &path).is_some());
    assert_eq!(Graph::of_top_level_modules(&one).circles().len(), 1);
}

#[test]
fn names_lead_to_their_definition_or_to_another_crate() {
    let one = crate_of(&[
        ("src/lib.rs", "mod a; use tokio::time; use regex;"),
        ("src/a.rs", "use super::*; pub enum Stage { Done } pub use Stage::Done;"),
    ]);
    let place = |from: usize, path: &str| {
        let path: Vec<String> = path.split("::").map(str::to_owned).collect();
        one.resolve(from, &path).map(|named| named.place)
    };
    let elsewhere = |path: &str| Some(Place::Elsewhere(path.split("::").map(str::to_owned).collect()));
    assert_eq!(place(0, "time::sleep"), elsewhere("tokio::time::sleep"));
    assert_eq!(place(1, "time::sleep"), elsewhere("tokio::time::sleep"));
    assert_eq!(place(0, "regex::Regex"), elsewhere("regex::Regex"));
    assert_eq!(place(1, "std::fmt"), elsewhere("std::fmt"));
    assert_eq!(place(0, "a::Done"), Some(Place::Item(1)));
    assert_eq!(place(0, "a::Stage::Done"), Some(Place::Item(1)));
    assert_eq!(place(0, "a"), Some(Place::Module(1)));
    assert_eq!(place(1, "super::super::a"), Some(Place::Module(1)));
    assert_eq!(place(1, "Self::new"), None);
}

#[test]
fn a_layer_must_not_use_what_is_forbidden() {
    let below = |modules, forbidden| Rule { package: None, modules, forbidden, reason: "a reason" };
    let crates = [crate_of(&[
        ("src/lib.rs", "mod low; mod high; mod aws;"),
        (
            "src/low.rs",
            "mod inner {\n    use crate::high::{High, other};\n}\nuse tokio::time::sleep;\nuse kube::ResourceExt;\nuse kube::Client as K;\nfn f() { K::new() }",
        ),
        ("src/high.rs", "pub struct High; use aws_sdk_ssm::Client;"),
        ("src/aws.rs", "use aws_sdk_ssm::Client;"),
    ])];
    let rules = [
        below(Modules::Below("low"), &["crate::high", "kube::Client", "tokio"]),
        below(Modules::Below("low::inner"), &["tokio"]),
        below(Modules::Outside("aws"), &["aws_sdk_*"]),
        below(Modules::Below("gone"), &["tokio"]),
    ];
    assert_eq!(
        violations(&crates, &rules),
        [
            "src/low.rs:4: low must not use tokio::time::sleep: a reason",
            "src/low.rs:6: low must not use kube::Client: a reason",
            "src/low.rs:2: low::inner must not use crate::high::High: a reason",
            "src/high.rs:1: high must not use aws_sdk_ssm::Client: a reason",
            "xtask/src/modules/rules.rs: a rule applies to no module: correct Below(\"gone\") of all crates",
        ]
    );
}

#[test]
fn a_module_without_a_file_is_an_error() {
    let read = |path: &Path| Ok((path == Path::new("src/lib.rs")).then(|| "mod gone;".to_owned()));
    let error = syntax::modules(Path::new("src/lib.rs"), &read).unwrap_err();
    assert_eq!(error.to_string(), "src/gone/mod.rs does not exist");
}
