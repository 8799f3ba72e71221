//! Writes what reports look like to `target/pictures/`, so that a person can look at it:
//! `cargo test --workspace --test pictures -- --ignored`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod runs;

use std::path::Path;
use std::sync::Arc;

use kinesis_demo_report::plot::{Size, timeline, timeline_with};
use kinesis_demo_report::{compare, html, json, markdown};
use maud::html as markup;

#[test]
#[ignore = "for people to look at"]
fn reports_are_written_to_target_pictures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/pictures");
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let (cold, warm, running) = (runs::quick(false), runs::quick(true), runs::running());
    let now = Some(runs::T0 + std::time::Duration::from_millis(31_400));
    write("cold.html", html::report(&cold));
    write("warm.html", html::report(&warm));
    write("compare.html", compare::html(&cold, &warm));
    write("long.html", html::report(&runs::long()));
    let three = timeline(&[&cold, &warm, &running], now, Size::normal(1_320));
    write("three.html", html::document("three", &markup! { section class="kd-card" { (three) } }));
    write("cold.md", markdown::report(&cold));
    write("compare.md", compare::markdown(&cold, &warm));
    write("cold.json", json::report(&cold));
    write("compare.json", compare::json(&cold, &warm));
    let room = timeline(&[&cold, &warm], now, Size::presenter(1_840));
    write("presenter.html", html::document("presenter", &markup! { (room) }));
    let busy = runs::shards();
    let draw = |size| timeline_with(&[&running], &[Some(Arc::clone(&busy))], now, size);
    write(
        "shards.html",
        html::document("shards", &markup! { section class="kd-card" { (draw(Size::normal(1_200))) } }),
    );
    write("shards-phone.html", html::document("shards", &draw(Size::phone())));
    write("shards-room.html", html::document("shards", &draw(Size::room(1_840, 760, 24))));
    write(
        "running.html",
        html::document(
            "running",
            &markup! { section class="kd-card" { (timeline(&[&running], now, Size::normal(1_200))) } },
        ),
    );
}
