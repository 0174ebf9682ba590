//! Chapter 4's four situations: few or many images of a similar or a different task, with the accuracy of
//! every freeze depth as measured.

use crate::page::html::{add, badge, text};
use crate::page::results::{Results, Row, Table, words};

/// A situation: its name in the page's address, its title, the beginning of its claims, the task, and the
/// column in the task's table.
const SITUATIONS: [(&str, &str, &str, &str, usize); 4] = [
    ("few-similar", "Few images, similar task", "few and similar", "clothes", 0),
    ("few-different", "Few images, different task", "few and different", "digits", 0),
    ("many-similar", "Many images, similar task", "many and similar", "clothes", 1),
    ("many-different", "Many images, different task", "many and different", "digits", 1),
];

/// All four panels. A script shows one at a time; without scripts all are shown.
pub(super) fn panels(results: &Results) -> String {
    let mut html = "<section aria-labelledby=\"situations\" data-grid><h2 id=\"situations\">Four \
        situations, measured</h2>\n\
                    <p>The similar task is four other kinds of clothes, the different one is digits. A \
                    bar is the mean \
                    test accuracy over seeds; the thin line is one standard deviation to each side.</p>\n\
                    <div class=\"choices\" role=\"group\" aria-label=\"Situation\" hidden></div>\n"
        .to_owned();
    for (name, title, prefix, task, column) in SITUATIONS {
        let Some(found) = results.tables.iter().find(|table| is_of(table, task)) else { continue };
        let Some(images) = found.columns.get(column) else { continue };
        add(
            &mut html,
            format_args!(
                "<section class=\"panel\" id=\"{name}\" data-name=\"{title}\"><h3>{title}: {task}, {}</h3>\n",
                text(images)
            ),
        );
        bars(&mut html, found, column);
        html.push_str("<ul class=\"verdicts\">\n");
        for claim in results.claims.iter().filter(|claim| claim.claim.starts_with(prefix)) {
            let (badge, words) = (badge(&claim.verdict, &claim.verdict), text(&claim.claim));
            add(
                &mut html,
                format_args!(
                    "<li>{badge}{words}<br><span class=\"soft\">{}</span></li>\n",
                    text(&claim.evidence)
                ),
            );
        }
        html.push_str("</ul></section>\n");
    }
    html + "</section>\n"
}

/// Whether `table` has the accuracies of `task` on test images.
fn is_of(table: &Table, task: &str) -> bool {
    table.title.starts_with(&format!("{task}: accuracy in %, test"))
}

/// The rows of a column as bars from 50 to 100 %, each with its number.
fn bars(html: &mut String, table: &Table, column: usize) {
    html.push_str(
        "<table class=\"bars\"><thead><tr><th scope=\"col\">what trains</th>\
                   <th scope=\"col\">accuracy, %</th><th scope=\"col\" \
                   class=\"axis\"><span>50</span><span>75</span>\
                   <span>100</span></th></tr></thead><tbody>\n",
    );
    let mean = |row: &Row| row.cells.get(column).and_then(|cell| cell["mean"].as_f64());
    let best = table.rows.iter().filter_map(mean).fold(f64::MIN, f64::max);
    for row in &table.rows {
        let Some(cell) = row.cells.get(column) else { continue };
        let (Some(mean), deviation) = (mean(row), cell["std"].as_f64().unwrap_or(0.0)) else { continue };
        let place = |accuracy: f64| ((accuracy - 50.0) * 2.0).clamp(0.0, 100.0);
        let (from, to) = (place(mean - deviation), place(mean + deviation));
        let class = if mean >= best { " class=\"best\"" } else { "" };
        add(
            html,
            format_args!(
                "<tr{class}><th scope=\"row\">{}</th><td>{}</td><td class=\"bar\" aria-hidden=\"true\"><div \
                 style=\"width:{:.1}%\"></div><i style=\"left:{from:.1}%;width:{:.1}%\"></i></td></tr>\n",
                text(&row.name),
                text(&words(cell)),
                place(mean),
                to - from
            ),
        );
    }
    html.push_str("</tbody></table>\n");
}
