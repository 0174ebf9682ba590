//! Questions with choices. Each rests on a claim that the published runs decided: the answer is explained by
//! the numbers of that claim. A question is left out if its claim does not have the verdict that the answer
//! needs.

use crate::page::html::{add, badge, text};
use crate::page::results::{Claim, Results};

/// A question of a chapter.
struct Question {
    chapter: usize,
    question: &'static str,
    choices: [&'static str; 3],
    /// Index of the right choice.
    right: usize,
    /// The claim that decides, and the verdict on it for which the choice is right.
    claim: &'static str,
    verdict: &'static str,
    /// The reason, in one or two sentences. The claim's numbers follow.
    why: &'static str,
}

const QUESTIONS: [Question; 18] = [
    Question {
        chapter: 0,
        question: "A network has 50 labelled images of clothes. It starts from weights that were trained on \
            other clothes, and not from random ones. What happens to its test accuracy?",
        choices: ["It rises by about 1 point", "It rises by about 11 points", "It stays the same"],
        right: 1,
        claim: "clothes, 50 images: pretrained weights generalise better than random ones",
        verdict: "supported",
        why: "Fifty images do not contain enough information to learn edges and shapes. The pretrained \
            weights contain them already.",
    },
    Question {
        chapter: 0,
        question: "Both networks reach 100 % on their 50 training images. Which one overfits more?",
        choices: ["The one from scratch", "The pretrained one", "Both alike"],
        right: 0,
        claim: "from scratch, few images are overfitted more",
        verdict: "supported",
        why: "Overfitting is the difference between training and test accuracy. The training accuracies are \
            equal, so the lower test accuracy decides.",
    },
    Question {
        chapter: 1,
        question: "A network was trained on photos. A linear probe classifies digits by the features of \
            one of its stages. Which stage gives the highest accuracy?",
        choices: ["The first", "One in the middle", "The last"],
        right: 1,
        claim: "digits: the middle beats the end",
        verdict: "supported",
        why: "The last stages depend on the classes of the pretraining. The stages before describe \
            the strokes of a digit better.",
    },
    Question {
        chapter: 1,
        question: "Two networks were trained for the same clothes, two were not trained at all. Their last \
            stages are compared on the same images. Do the runs show that the trained pair is more alike?",
        choices: ["Yes, by a large margin", "No: the untrained pair is more alike", "The runs do not decide"],
        right: 2,
        claim: "the ends of networks for the same clothes are more alike than untrained ones",
        verdict: "inconclusive",
        why: "Untrained networks have the same architecture and get the same images, so they are alike as \
            well. The interval contains zero.",
    },
    Question {
        chapter: 2,
        question: "You have 30 labelled photos and no GPU. One linear layer is trained on the features of a \
            frozen network. How many new photos does it recognise?",
        choices: ["About 4 in 10", "About 6 in 10", "About 8 in 10"],
        right: 2,
        claim: "30 photos: features beat pixels (softmax)",
        verdict: "supported",
        why: "The same linear layer on pixels recognises about 4 in 10. The difference is what the frozen \
            network adds.",
    },
    Question {
        chapter: 2,
        question: "Which head gains from features: softmax, a linear support vector machine, or the \
            nearest photo?",
        choices: ["Only softmax", "All three", "Only those that train"],
        right: 1,
        claim: "30 photos: features beat pixels (nearest photo)",
        verdict: "supported",
        why: "Even the nearest photo, which trains nothing, is better on features than on pixels. So are \
            the other two.",
    },
    Question {
        chapter: 3,
        question: "All layers of a pretrained network are tuned at a rate that is ten times the best one. \
            What happens to the classes that it could recognise before?",
        choices: [
            "Nothing: only new classes change",
            "Their accuracy is about halved",
            "Their accuracy \
            rises",
        ],
        right: 1,
        claim: "too large a rate destroys what was pretrained",
        verdict: "supported",
        why: "Large steps overwrite the pretrained features. The new classes lose much less, so their \
            accuracy alone does not show the damage.",
    },
    Question {
        chapter: 3,
        question: "Does it help to train the head first and everything after it (LP-FT), on test images \
            like the training images?",
        choices: [
            "It helps by several points",
            "It makes no difference beyond 2 points",
            "It costs several \
            points",
        ],
        right: 1,
        claim: "a head trained first helps full fine-tuning",
        verdict: "equivalent",
        why: "The verdict is “equivalent”: the difference is surely smaller than the margin. That is \
        more \
            than a difference that was not found.",
    },
    Question {
        chapter: 4,
        question: "You have 50 images of digits and a network that was pretrained on clothes. What should \
            train?",
        choices: ["The head alone", "From an earlier stage on", "Nothing"],
        right: 1,
        claim: "few and different: from earlier layers on, not the head alone",
        verdict: "supported",
        why: "The last stages are specific to clothes. Training from layer2 on lets them change, and the \
            earliest layers stay.",
    },
    Question {
        chapter: 4,
        question: "With few images of a similar task the usual advice is to freeze most of the network. Do \
            these runs show that it is more accurate?",
        choices: ["Yes", "No, it is less accurate", "They do not decide"],
        right: 2,
        claim: "few and similar: the head or the last stage, not everything",
        verdict: "inconclusive",
        why: "The interval reaches from below zero to above it. The freeze is still cheaper, which chapter \
            7 measures.",
    },
    Question {
        chapter: 5,
        question: "For a task that is unlike the old one, is a rate that is ten times smaller at each \
            earlier stage a good idea?",
        choices: ["Yes, it wins", "It makes no difference", "No, it loses to one rate for all"],
        right: 2,
        claim: "digits: at the best rates a tenth a stage beats one rate",
        verdict: "contradicted",
        why: "Digits need other early features than clothes. With a small part of the rate the early \
            stages hardly change.",
    },
    Question {
        chapter: 5,
        question: "When did the runs show that smaller rates for early stages help?",
        choices: ["At a base rate that is too large", "At the best base rate", "Never"],
        right: 0,
        claim: "at too large a rate a tenth a stage beats one rate",
        verdict: "supported",
        why: "The small rates protect the early stages from a badly chosen base rate. At the best \
            rates the runs do not decide.",
    },
    Question {
        chapter: 6,
        question: "Digits are turned by any angle up to 180° while a network trains. What does that cost in \
            test accuracy?",
        choices: ["Nothing: more variants help", "About 5 points", "About 40 points"],
        right: 2,
        claim: "digits: labels that an augmentation breaks cost accuracy (rotation up to 180°, shift)",
        verdict: "supported",
        why: "A 6 that is turned upside down is a 9 with the label 6. The augmentation breaks the labels.",
    },
    Question {
        chapter: 6,
        question: "A head was trained on normalised images. The images for prediction are not normalised \
            by mistake. Which accuracy remains?",
        choices: [
            "Almost the same accuracy",
            "About the accuracy of guessing one of four",
            "About half of \
            the gain",
        ],
        right: 1,
        claim: "head, normalisation forgotten when testing: costs accuracy",
        verdict: "supported",
        why: "Guessing one of four classes gives 25 %. No error is reported: the numbers are only wrong.",
    },
    Question {
        chapter: 7,
        question: "On 200 images of clothes, validation images choose how much to train. Is the partial \
            freeze as accurate as training everything?",
        choices: ["Yes, within the margin", "No, it loses more than the margin", "The runs do not decide"],
        right: 0,
        claim: "clothes, 200 images: a partial freeze is as good as training everything",
        verdict: "supported",
        why: "It also dispatches fewer kernels and keeps fewer bytes for the backward pass, as the table of \
            costs shows.",
    },
    Question {
        chapter: 7,
        question: "90 photos, and only layer3, layer4 and the head train. What did the test show, \
            compared with training everything?",
        choices: ["Clearly worse", "As good, at a lower cost", "Not tested"],
        right: 1,
        claim: "photos, 90 images: a partial freeze is as good as training everything",
        verdict: "supported",
        why: "A step of it computes about 60 % of the multiply-accumulates and keeps about a seventh of the \
            bytes.",
    },
    Question {
        chapter: 8,
        question: "500 images of digits, and weights that were pretrained on clothes. Is training from \
            scratch justified?",
        choices: ["Yes, it is as good", "No, it is clearly worse", "The runs do not decide"],
        right: 0,
        claim: "digits, 500 images: scratch is as good as full fine-tuning",
        verdict: "supported",
        why: "With enough images of another task, a network no longer needs the old weights.",
    },
    Question {
        chapter: 8,
        question: "1,000 images of clothes, like those of the pretraining. Do the pretrained weights still \
            gain anything over scratch?",
        choices: ["No: so many images are enough", "Yes, some points", "They cost accuracy"],
        right: 1,
        claim: "clothes, 1000 images: full fine-tuning still beats scratch",
        verdict: "supported",
        why: "The gain is smaller than with 50 images, and it is still beyond what chance explains.",
    },
];

/// The questions of a chapter, each a form that works with the keyboard. The answer is on the page, for
/// readers without scripts.
pub(super) fn questions(number: usize, results: &Results) -> String {
    let of_chapter = QUESTIONS.iter().filter(|question| question.chapter == number);
    let found: Vec<_> =
        of_chapter.filter_map(|question| Some((question, decided(question, results)?))).collect();
    if found.is_empty() {
        return String::new();
    }
    let mut html = "<section aria-labelledby=\"quiz\"><h2 id=\"quiz\">Quiz</h2>\n".to_owned();
    for (at, (question, claim)) in found.iter().enumerate() {
        one(&mut html, &format!("q{number}-{at}"), question, claim);
    }
    html + "</section>\n"
}

/// The claim that a question rests on, if the runs decided it as the answer says.
fn decided<'a>(question: &Question, results: &'a Results) -> Option<&'a Claim> {
    results.claims.iter().find(|claim| claim.claim == question.claim && claim.verdict == question.verdict)
}

fn one(html: &mut String, name: &str, question: &Question, claim: &Claim) {
    let words = text(question.question);
    add(
        html,
        format_args!(
            "<form class=\"quiz\" data-right=\"{}\"><fieldset><legend>{words}</legend>\n",
            question.right
        ),
    );
    for (at, choice) in question.choices.iter().enumerate() {
        add(
            html,
            format_args!(
                "<label><input type=\"radio\" name=\"{name}\" value=\"{at}\"> <span>{}</span></label>\n",
                text(choice)
            ),
        );
    }
    let (right, why, evidence) =
        (text(question.choices[question.right]), text(question.why), text(&claim.evidence));
    add(
        html,
        format_args!(
            "</fieldset>\n<p class=\"said\" role=\"status\"></p>\n<details><summary>The answer</summary>\n\
             <p><b>{right}.</b> {why}</p>\n<p class=\"soft\">{} {}<br>{evidence}</p></details></form>\n",
            badge(&claim.verdict, &claim.verdict),
            text(&claim.claim),
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::markdown::published;
    use std::path::Path;

    /// Each answer is what the published runs decided, and each chapter has a question.
    #[test]
    fn answers_are_those_of_the_published_runs() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        for number in 0..9 {
            let results = published(&docs, number).unwrap();
            let mut count = 0;
            for question in QUESTIONS.iter().filter(|question| question.chapter == number) {
                assert!(decided(question, &results).is_some(), "no such verdict: {}", question.claim);
                count += 1;
            }
            assert!(count >= 2, "chapter {number} has {count} questions");
            let html = questions(number, &results);
            assert_eq!(html.matches("<form").count(), count);
        }
    }

    #[test]
    fn a_question_is_left_out_where_the_runs_say_something_else() {
        let mut results = Results::default();
        assert_eq!(questions(0, &results), "");
        let claim = |verdict: &str| Claim {
            claim: QUESTIONS[0].claim.to_owned(),
            verdict: verdict.to_owned(),
            evidence: "74 % & more".to_owned(),
            mean: None,
            interval: None,
            unit: String::new(),
        };
        results.claims = vec![claim("contradicted")];
        assert_eq!(questions(0, &results), "");
        results.claims = vec![claim("supported")];
        assert!(questions(0, &results).contains("74 % &amp; more"));
    }
}
