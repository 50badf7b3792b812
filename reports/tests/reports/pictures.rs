//! Pictures are XML with something in it, inside their frames.

use etalon_reports::draw::{Axes, Line, bars, chart};
use etalon_reports::pictures::{self, Picture};
use etalon_reports::rows::Table;
use roxmltree::{Document, Node};

use crate::{paired, run, run_of};

fn all() -> Vec<Picture> {
    let run = run();
    pictures::all(&Table::new(&run), &run.environments[0].1.peaks).unwrap()
}

fn numbers(text: &str) -> Vec<f64> {
    text.split([' ', ',']).filter(|t| !t.is_empty()).map(|t| t.parse().unwrap()).collect()
}

#[test]
fn every_kind_is_drawn() {
    let names: Vec<_> = all().iter().map(|p| p.name).collect();
    assert_eq!(names, ["roofline", "size-sweep", "precision-sweep", "thread-scaling", "ratio"]);
}

#[test]
fn coordinates_are_finite_and_inside() {
    for picture in all() {
        let document = Document::parse(&picture.svg).unwrap();
        let frame = numbers(document.root_element().attribute("viewBox").unwrap());
        let inside = |v: f64, most: f64| assert!((0.0..=most).contains(&v), "{}: {v} of {most}", picture.name);
        let shapes: Vec<Node<'_, '_>> =
            document.root_element().descendants().filter(Node::is_element).skip(1).collect();
        assert!(shapes.len() > 10, "{}", picture.name);
        for shape in shapes {
            for (names, most) in [(["x", "cx", "x1", "x2"], frame[2]), (["y", "cy", "y1", "y2"], frame[3])] {
                names.iter().filter_map(|n| shape.attribute(*n)).for_each(|v| inside(v.parse().unwrap(), most));
            }
            for pair in numbers(shape.attribute("points").unwrap_or("")).chunks(2) {
                inside(pair[0], frame[2]);
                inside(pair[1], frame[3]);
            }
        }
    }
}

#[test]
fn colours_are_the_pages() {
    for picture in all() {
        assert!(picture.svg.contains("var(--ink)") && picture.svg.contains("var(--s1)"), "{}", picture.name);
        assert!(!picture.svg.contains("=\"#"), "{}: a colour of its own", picture.name);
    }
}

#[test]
fn legends_name_what_is_drawn() {
    let all = all();
    let legend = |name: &str| all.iter().find(|p| p.name == name).unwrap().legend.clone();
    assert_eq!(legend("roofline"), ["batchnorm_relu", "batchnorm_relu_backward", "gemm"]);
    assert_eq!(legend("size-sweep"), ["ours", "faer", "libtorch", "openblas"]);
    assert_eq!(legend("precision-sweep"), ["f32", "f64"]);
}

#[test]
fn a_picture_without_records_is_not_drawn() {
    let mut record = paired();
    record["workload"] = serde_json::Value::Null;
    record["dtype"] = "i8".into();
    record["peers"] = serde_json::json!([]);
    let run = run_of(&[record]);
    assert!(pictures::all(&Table::new(&run), &[]).unwrap().is_empty());
}

#[test]
fn what_no_axis_can_show_is_left_out() {
    let axes = |log_y| Axes { x: "x", base: 10.0, y: "y", log_y, marks_only: true };
    let line = |points: &[(f64, f64)]| [Line { name: "x".into(), points: points.to_vec() }];
    let impossible = [(0.0, 1.0), (1.0, f64::NAN), (1e308, 1.0), (1.0, 1e308), (1.0, -1.0), (f64::INFINITY, 1.0)];
    for log_y in [false, true] {
        assert!(chart(&axes(log_y), &line(&impossible), &[]).unwrap().is_none());
        let one = [&impossible[..], &[(10.0, 10.0)]].concat();
        let svg = chart(&axes(log_y), &line(&one), &line(&impossible)).unwrap().expect("one point");
        assert_eq!(svg.matches("<circle").count(), 1);
    }
    // Nothing but zeros: an axis of no length, whose marks plotters would look for without an end.
    assert!(chart(&axes(false), &line(&[(1.0, 0.0), (2.0, 0.0)]), &[]).unwrap().is_some());
    assert!(chart(&axes(true), &line(&[(1.0, 0.0)]), &[]).unwrap().is_none());
    let drawn = bars(vec![("a".into(), f64::NAN), ("b".into(), 1e308), ("c".into(), 2.0)], "x").unwrap().unwrap();
    assert!(drawn.contains(">\nc\n<") && !drawn.contains(">\nb\n<"), "{drawn}");
}
