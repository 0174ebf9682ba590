//! Kernels and the chapters' programs as pages, with numbered lines.

use super::Result;
use super::files::Files;
use super::highlight::listing;
use super::shell::{Place, Shell};
use crate::page::html::{add, text};
use crate::page::stations::Station;

/// The page of a chapter's program.
pub(super) fn program(shell: &Shell, number: usize, station: &Station, files: &Files<'_>) -> Result<String> {
    let path = format!("examples/{}.rs", station.binary);
    let code = files.read(&path)?;
    let main = format!(
        "<h1><code>{path}</code></h1>\n<p>The program of <a href=\"ch{number}.html\">chapter {number}: \
            {}</a>. \
         It trains every condition, compares them and writes the chapter’s results.</p>\n{}",
        text(station.title),
        listing(&code, |_| None)
    );
    Ok(shell.page(Place::Chapter(number), &path, "The program of a chapter", &main))
}

/// The pages of all kernels: their names and texts. The first lists them.
pub(super) fn kernels(shell: &Shell, files: &Files<'_>) -> Result<Vec<(String, String)>> {
    let mut list = "<h1>The kernels</h1>\n<p class=\"lead\">Every number of the lesson was computed by \
        these WGSL \
                    files. A browser runs the same texts on WebGPU. The header of each file \
                    contains its \
                    formulae, the shapes of its arrays, and what one invocation computes.</p>\n<ul \
                    class=\"kernels\">\n"
        .to_owned();
    let mut shared = String::new();
    let mut pages = vec![];
    for path in files.shaders()? {
        let code = files.read(&format!("shaders/{path}"))?;
        let (name, page) = kernel(shell, &path, &code);
        let (first, entries) = (text(&first_line(&code)), entries(&code));
        let link = format!("<a href=\"{name}\"><code>{path}</code></a>");
        if path.contains('/') {
            add(&mut shared, format_args!("<li>{link}</li>\n"));
        } else {
            let anchors = entries.iter().map(|entry| format!("<a href=\"{name}#{entry}\">{entry}</a>"));
            let anchors = anchors.collect::<Vec<_>>().join(", ");
            add(
                &mut list,
                format_args!(
                    "<li>{link}<br>{first}<br><span \
                class=\"soft\">{anchors}</span></li>\n"
                ),
            );
        }
        pages.push((name, page));
    }
    add(&mut list, format_args!("</ul>\n<h2>Parts that several kernels share</h2>\n<ul>\n{shared}</ul>\n"));
    let title = "The kernels – Transfer Learning From Zero";
    let page = shell.page(Place::File("kernels.html"), title, "The WGSL of every kernel", &list);
    pages.insert(0, ("kernels.html".to_owned(), page));
    Ok(pages)
}

/// The file name and the page of one.
fn kernel(shell: &Shell, path: &str, code: &str) -> (String, String) {
    let entries = entries(code);
    let links = entries.iter().map(|entry| format!("<li><a href=\"#{entry}\"><code>{entry}</code></a></li>"));
    let mut main = format!("<p><a href=\"kernels.html\">All kernels</a></p>\n<h1><code>{path}</code></h1>\n");
    if !entries.is_empty() {
        let links: String = links.collect();
        add(&mut main, format_args!("<ul class=\"entries\" aria-label=\"Entry points\">{links}</ul>\n"));
    }
    let used: Vec<_> = code.lines().filter_map(|line| line.strip_prefix("//!use ")).collect();
    if !used.is_empty() {
        add(
            &mut main,
            format_args!(
                "<p class=\"soft\">Before it is compiled, {} is added.</p>\n",
                text(&used.join(", "))
            ),
        );
    }
    main.push_str(&listing(code, |line| entry(line).filter(|name| entries.contains(name))));
    let title = format!("{path} – the kernels");
    let first = first_line(code);
    (page_name(path), shell.page(Place::File("kernels.html"), &title, &first, &main))
}

/// `kernel-conv2d.html` for `conv2d.wgsl`.
fn page_name(path: &str) -> String {
    format!("kernel-{}.html", path.trim_end_matches(".wgsl").replace('/', "-"))
}

/// The first sentence of a file's header.
fn first_line(code: &str) -> String {
    let line = code.lines().next().unwrap_or_default();
    line.trim_start_matches(['/', '!', ' ']).to_owned()
}

/// The entry points: functions after `@compute`.
fn entries(code: &str) -> Vec<String> {
    let lines: Vec<&str> = code.lines().collect();
    let compute = lines.iter().enumerate().filter(|(_, line)| line.starts_with("@compute"));
    compute.filter_map(|(at, _)| lines[at..].iter().find_map(|line| entry(line))).collect()
}

/// The name of the function that begins on a line.
fn entry(line: &str) -> Option<String> {
    let rest = line.split_once("fn ").filter(|(before, _)| before.is_empty() || before.starts_with('@'))?.1;
    let name: String = rest.chars().take_while(|sign| sign.is_alphanumeric() || *sign == '_').collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_points_are_those_after_compute() {
        let code = "//! x: y\nfn helper() {}\n@compute @workgroup_size(64)\nfn forward(a: u32) {}\n@compute \
            @workgroup_size(1) fn mean() {}";
        assert_eq!(entries(code), ["forward", "mean"]);
        assert_eq!(first_line(code), "x: y");
        assert_eq!(page_name("shared/finite.wgsl"), "kernel-shared-finite.html");
    }
}
