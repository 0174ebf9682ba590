//! The behaviour of a resumed run when its photos have changed, and when it is finished.

use std::fs;
use std::path::Path;

use crate::claims::contents;
use crate::{Place, SHORT, bytes};

/// A place with a run that was killed after its first epoch.
fn stopped(flags: &str) -> Place {
    let place = Place::new(6);
    place.weights();
    let mut child = crate::claims::start(
        &place,
        &format!(
            "train photos --weights weights.safetensors --batch 4 --bn batch --epochs 2000 {flags} --out run"
        ),
    );
    crate::claims::wait_until("checkpoint", || place.path("run/last.safetensors").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    place
}

fn swap(one: &Path, other: &Path) {
    let aside = one.with_extension("aside");
    fs::rename(one, &aside).unwrap();
    fs::rename(other, one).unwrap();
    fs::rename(aside, other).unwrap();
}

#[test]
fn a_run_is_not_resumed_on_other_photos() {
    let place = stopped("--lr 0.02");
    let photo = |name: &str| place.path("photos").join(name);
    let before = contents(&place.path("run"));
    let refused = |words: &[&str]| {
        let said = place.bad(1, "train --resume run");
        for word in words {
            assert!(said.contains(word), "{word:?} is not in {said}");
        }
        assert!(contents(&place.path("run")) == before, "a refused run changes nothing");
    };

    swap(&photo("blue"), &photo("red"));
    refused(&["hold other pictures: blue/00.png, blue/01.png", "begin a new run"]);
    swap(&photo("blue"), &photo("red"));

    fs::rename(photo("blue"), photo("azure")).unwrap();
    refused(&["6 photos were renamed: blue/00.png → azure/00.png", "were blue, green, red, and are azure"]);
    fs::rename(photo("azure"), photo("blue")).unwrap();

    swap(&photo("blue/00.png"), &photo("blue/05.png"));
    refused(&["2 photos hold other pictures: blue/00.png, blue/05.png"]);
    swap(&photo("blue/00.png"), &photo("blue/05.png"));

    fs::rename(photo("green/03.png"), photo("green/first.png")).unwrap();
    refused(&["1 photo was renamed: green/03.png → green/first.png"]);
    fs::rename(photo("green/first.png"), photo("green/03.png")).unwrap();

    let kept = bytes(&photo("red/01.png"));
    fs::remove_file(photo("red/01.png")).unwrap();
    refused(&["1 photo is gone: red/01.png"]);
    place.photos(&place.path("other"), 1, 1);
    fs::copy(place.path("other/00.png"), photo("red/01.png")).unwrap();
    refused(&["1 photo holds another picture: red/01.png"]);
    fs::write(photo("red/01.png"), kept).unwrap();
    fs::copy(place.path("other/00.png"), photo("red/99.png")).unwrap();
    refused(&["1 photo is new: red/99.png"]);
    fs::remove_file(photo("red/99.png")).unwrap();
}

#[test]
fn a_run_whose_photos_were_moved_goes_on_where_they_are_now() {
    let place = stopped("--early-stop 2 --lr 1e-30");
    fs::rename(place.path("photos"), place.path("moved")).unwrap();
    let said = place.bad(1, "train --resume run");
    assert!(said.contains("photos of this run are not there") && said.contains("--data FOLDER"), "{said}");
    let told = place.good("train --resume run --data moved");
    assert!(told.contains("recognises"), "{told}");
    let settings = String::from_utf8(bytes(&place.path("run/run.json"))).unwrap();
    assert!(settings.contains("moved\""), "the next time it need not be said: {settings}");
    let said = place.bad(2, "train photos --data moved");
    assert!(said.contains("cannot be used with"), "{said}");
}

#[test]
fn photos_that_go_while_it_trains_are_put_back_and_the_run_goes_on() {
    let place = Place::new(6);
    place.weights();
    let child = crate::claims::start(&place, &format!("train photos {SHORT} --epochs 100 --out run"));
    crate::claims::wait_until("checkpoint", || place.path("run/last.safetensors").exists());
    fs::rename(place.path("photos/green"), place.path("aside")).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in ["photos/green/0", "needs its photos", "Put them back", "frostline train --resume run\n"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    // Not before they are back.
    assert!(place.bad(1, "train --resume run").contains("6 photos are gone: green/00.png"));
    fs::rename(place.path("aside"), place.path("photos/green")).unwrap();
    place.good("train --resume run");
    assert!(place.path("run/report.json").exists());
}

#[test]
fn a_finished_run_is_not_changed() {
    let place = Place::new(6);
    place.weights();
    place.good(&format!("train photos {SHORT} --epochs 2 --out run"));
    let before = contents(&place.path("run"));
    fs::rename(place.path("photos/blue"), place.path("photos/zebra")).unwrap();
    let told = place.good("train --resume run");
    assert!(
        told.contains("this run is finished; nothing was changed") && told.contains("recognises"),
        "{told}"
    );
    assert!(contents(&place.path("run")) == before);

    // Killed before its report: the rest is done, on the photos that it was trained on.
    fs::rename(place.path("photos/zebra"), place.path("photos/blue")).unwrap();
    for file in ["report.json", "confusion.png"] {
        fs::remove_file(place.path("run").join(file)).unwrap();
    }
    place.good("train --resume run");
    assert!(contents(&place.path("run")) == before);
}
