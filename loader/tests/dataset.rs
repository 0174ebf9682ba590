//! Packed sets of small images, and their sheets.

use frostline_loader::{Error, ImageSet, normalize};

fn set(channels: usize) -> ImageSet {
    let (height, width, count) = (3, 2, 5);
    ImageSet {
        height,
        width,
        channels,
        images: (0..count * height * width * channels).map(|i| (i * 37) as u8).collect(),
        labels: vec![0, 1, 1, 0, 1],
        classes: vec!["shirt".to_owned(), "boot".to_owned()],
    }
}

fn json(fields: &str) -> String {
    format!(r#"{{"height":3,"width":2,"cols":2,"classes":["a","b"],"labels":[0,1]{fields}}}"#)
}

#[test]
fn sheets_round_trip_in_any_number_of_columns() {
    for channels in [1, 3] {
        for cols in [1, 2, 5, 50] {
            let (png, json) = set(channels).to_sheet(cols).unwrap();
            assert_eq!(ImageSet::from_sheet(&png, json.as_bytes()).unwrap(), set(channels));
        }
    }
}

/// The layout, fixed by a sheet of two columns that is compared pixel by pixel.
#[test]
fn images_stand_in_rows_from_the_top_left() {
    let (png, _) = set(1).to_sheet(2).unwrap();
    let sheet = frostline_loader::image::decode_bytes(&png, "sheet".as_ref()).unwrap();
    assert_eq!((sheet.width, sheet.height), (4, 9));
    let at = |x: usize, y: usize| sheet.data[(y * sheet.width + x) * 3];
    let set = set(1);
    // Image 3 is the second of the second row; its last pixel is its right bottom one.
    assert_eq!(at(2, 3), set.image(3)[0]);
    assert_eq!(at(3, 5), set.image(3)[5]);
    assert_eq!(at(1, 6), set.image(4)[1]);
}

#[test]
fn sheets_that_do_not_fit_their_text_are_refused() {
    let (png, good) = set(1).to_sheet(2).unwrap();
    assert!(ImageSet::from_sheet(&png, good.as_bytes()).is_ok());
    // Fewer labels than places is valid: the last row is seldom full.
    assert_eq!(ImageSet::from_sheet(&png, json("").as_bytes()).unwrap().len(), 2);
    for (wrong, by) in [
        ("\"cols\":2", "\"cols\":3"),
        ("\"cols\":2", "\"cols\":18446744073709551615"),
        ("\"width\":2", "\"width\":0"),
        ("\"height\":3", "\"height\":4"),
        ("\"height\":3", "\"height\":0"),
        ("\"labels\":[0,1]", "\"labels\":[0,0,0,0,0,0,0]"),
        ("\"labels\":[0,1]", "\"labels\":[-1]"),
        ("\"classes\":[\"a\",\"b\"],", ""),
    ] {
        let text = json("").replace(wrong, by);
        let error = ImageSet::from_sheet(&png, text.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Sheet { .. }), "{text}: {error}");
    }
    let text = json("").replace("[0,1]", "[0,2]");
    let error = ImageSet::from_sheet(&png, text.as_bytes()).unwrap_err();
    assert!(matches!(error, Error::LabelOutOfRange { index: 1, label: 2, classes: 2 }), "{error}");
    assert!(matches!(ImageSet::from_sheet(&png[..40], good.as_bytes()), Err(Error::CorruptImage { .. })));
}

#[test]
fn gather_gives_the_order_asked_for_and_normalize_torchvisions_numbers() {
    let set = set(3);
    let (mean, std) = ([0.5, 0.25, 0.0], [0.5, 1.0, 2.0]);
    let mut bytes = vec![99; 7];
    set.gather(&[4, 0, 4], &mut bytes).unwrap();
    assert_eq!(bytes, [set.image(4), set.image(0), set.image(4)].concat());
    let expected =
        bytes.iter().enumerate().map(|(i, &byte)| (f32::from(byte) / 255.0 - mean[i % 3]) / std[i % 3]);
    assert!(normalize(&bytes, 3, &mean, &std).unwrap().into_iter().eq(expected));
    assert_eq!(set.gather_labels(&[4, 0, 4]).unwrap(), [1, 0, 1]);
}

#[test]
fn subsets_keep_images_labels_and_order() {
    let whole = set(3);
    let part = whole.subset(&[3, 1]).unwrap();
    assert_eq!((part.image(0), part.image(1)), (whole.image(3), whole.image(1)));
    assert_eq!(part.labels, [0, 1]);
    assert_eq!(part.classes, whole.classes);
    assert_eq!(part.label_indices(), [0, 1]);
}

#[test]
fn what_is_not_there_is_refused() {
    let set = set(1);
    let mut out = Vec::new();
    assert!(matches!(set.subset(&[5]), Err(Error::IndexOutOfRange { index: 5, len: 5 })));
    assert!(matches!(set.gather(&[0, 9], &mut out), Err(Error::IndexOutOfRange { .. })));
    assert!(matches!(set.gather_labels(&[5]), Err(Error::IndexOutOfRange { .. })));
    let error = normalize(set.image(0), 1, &[0.0; 3], &[1.0; 3]).unwrap_err();
    assert!(matches!(error, Error::Preprocessing { .. }), "{error}");
    assert!(set.to_sheet(0).is_err());
}

#[test]
fn classes_are_chosen_and_counted_anew() {
    let boots = set(1).of_classes(&[1]).unwrap();
    assert_eq!((boots.labels.clone(), boots.classes.clone()), (vec![0; 3], vec!["boot".to_owned()]));
    assert_eq!(boots.image(2), set(1).image(4));
    let swapped = set(1).of_classes(&[1, 0]).unwrap();
    assert_eq!(swapped.labels, [1, 0, 0, 1, 0]);
    assert!(matches!(set(1).of_classes(&[2]), Err(Error::ClassOutOfRange { class: 2, classes: 2 })));
}
