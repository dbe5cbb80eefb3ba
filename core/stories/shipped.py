"""Three stories that ship with the program: for executives, for engineers, for students.

They name papers and presets, and are resolved to the reference results when they are read, as a run's name changes with the code
that decides its numbers. Every figure in a note is a placeholder that is filled from a verdict. A note is written for a verdict,
which its slide names: where a new reference result comes to another one, a test says that the note has to be written anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.methods import registry
from core.stories.story import PictureSlide, Slide, Story, TextSlide, VerdictSlide

if TYPE_CHECKING:
    from core.store import Store


@dataclass(frozen=True)
class Result:
    """A slide that shows a paper's reference result: its view of that number, or its claim; the note is about `verdict`."""

    paper: str
    title: str
    note: str
    view: int = 0
    claim: str = ""
    verdict: str = ""
    preset: str = "standard"


TITLES = {
    "executives": "What research results are worth",
    "engineers": "Before you build it in",
    "students": "How to read a verdict",
}

SLIDES: dict[str, tuple[TextSlide | Result, ...]] = {
    "executives": (
        TextSlide(
            "What are research results worth to us?",
            """Papers claim a lot. Before money goes into one, somebody should ask: does it hold, by how much, and how
sure are we?

Each result here was produced by running the paper's own method against a fair alternative, several times over, and comparing
the two by a rule that was fixed beforehand.

- **Holds**: the effect is there, and large enough to count.
- **Does not hold**: it is not.
- **Undecided**: there are too few runs to tell. It is a request for more evidence, not a no.

Everything was run at a small scale. A result says where to look first, not what will happen in production.""",
        ),
        Result(
            "lottery-ticket",
            "A trained network carries far more weights than it needs",
            """**The claim.** Inside a large network there is a small one that does the job as well, once it is found.

**How to read this.** To the right, fewer and fewer weights are left. The coloured line is the small network that was found; the
rule is the full one. Look for how far to the right the line stays close to the rule.""",
            view=0,
        ),
        Result(
            "lottery-ticket",
            "A small part of the weights does the work",
            """**What was seen.** {effect}% of the weights were enough (up to {smallest}% would have counted), in {n} repetitions.
The claim {verdict}.

**For a decision.** Compression is worth a trial wherever serving a model is the larger part of its cost. The small network is
found by training the large one several times, so this saves on use, not on development.

The interval, {low} to {high}%, is wide: plan with its upper end.""",
            claim="c1",
            verdict="holds",
        ),
        Result(
            "lottery-ticket",
            "Why the small network works is not settled",
            """**The claim.** The small network owes its quality to its original starting weights.

**What was seen.** It was ahead by {effect} points, but with {n} repetitions anything from {low} to {high} fits: {verdict}.

**For a decision.** Nothing should be built on this part yet. More repetitions cost little and would settle it.""",
            claim="c2",
            verdict="undecided",
        ),
        Result(
            "rankmixup",
            "A model that knows when it does not know",
            """**The claim.** A change of the training alone makes a model's stated confidence honest.

**How to read this.** On the diagonal, a model that says it is sure to some degree is right just as often. Below the
diagonal it is
too sure of itself.""",
            view=0,
        ),
        Result(
            "rankmixup",
            "Honest confidence, at no loss of accuracy",
            """**What was seen.** The gap between what the model says and how often it is right shrank by {effect}
points ({low} to {high}).
The claim {verdict}.

**For a decision.** Wherever a person or a rule acts on a score, to approve, to refer, to stop, this is the property to ask a
supplier for. It can be measured on your own data in an afternoon.""",
            claim="c1",
            verdict="holds",
        ),
        Result(
            "one-epoch",
            "Fresh data beats repetition",
            """**The claim.** For the same computing bill, new text teaches a language model more than the same text again.

**How to read this.** Lower is better. The curve of text that is seen once keeps falling; those of repeated text flatten or turn
up.""",
            view=0,
        ),
        Result(
            "one-epoch",
            "But the rule of thumb for the size of a model failed",
            """**The claim.** A fixed ratio of text to model size finds the best model for a budget.

**What was seen.** It {verdict}: the model that the ratio recommends lost {effect} nat, the unit of a language model's error,
against the best one; {smallest} was allowed.

**For a decision.** Pay for data before repetition. Do not size a model by a formula from a paper; try a few sizes at a small
scale first.""",
            claim="c4",
            verdict="does not hold",
        ),
        TextSlide(
            "Three questions to take along",
            """1. **Against what?** A gain is a gain over something. Ask whether the alternative was tuned with the same care.
2. **How sure?** Ask for the interval, not the number. If it contains nothing, treat the result as open.
3. **At what scale?** Ask what would have to be run again at yours, and what that costs.

The next page lists every claim of the papers that were shown, those that failed among them.""",
        ),
    ),
    "engineers": (
        TextSlide(
            "Before you build it in",
            """Five ideas from papers that are cheap to adopt, each run against its baseline with paired seeds and equal budgets.

For each: what to expect, and what the result does not say. Every verdict is at a small scale; the presets and seeds were fixed
before anything was looked at. The source line below a slide names its run, which can be run again from the app or by
`python -m core run`.""",
        ),
        Result(
            "contrastive-temperature",
            "The temperature is a trade-off, not a nuisance",
            """A small temperature pushes the nearest negatives hardest and spreads the embedding; a large one keeps
neighbours together.

Look at the top panels for what is traded, and at accuracy for where the compromise lies.""",
            view=0,
        ),
        Result(
            "contrastive-temperature",
            "What the temperature moves",
            """Uniformity changes by **{effect}** over the range ({low} to {high}, n = {n}); {smallest} would have counted.

**In practice.** Sweep the temperature with the other hyperparameters, on a logarithmic grid. Reuse of a value from
another data set
is a guess: where the compromise lies depends on how many of the near negatives are in truth of the same class.""",
            claim="c1",
            verdict="holds",
        ),
        Result(
            "contrastive-temperature",
            "Whether a middle temperature is best stays open",
            """The middle is ahead by {effect} points, with an interval from {low} to {high}: **{verdict}** at {n} seeds.

**In practice.** Differences between neighbouring temperatures are of the size of the noise between seeds. Choose by
more than one seed,
or do not lose time on the last step of the grid.""",
            claim="c2",
            verdict="undecided",
        ),
        Result(
            "transductive-clustering",
            "Cluster the queries before you train anything new",
            """Where the items to classify arrive as a batch, their own structure is free information.

Prototypes have left the few labelled examples for the middle of the clouds.""",
            view=0,
        ),
        Result(
            "transductive-clustering",
            "A few lines of K-means are a strong baseline",
            """With one labelled example a class, K-means adds **{effect} points** ({low} to {high}, n = {n}); the
claim asked for {smallest}.

**In practice.** It needs no training and no new model. It does need batches, and classes that are about equally
frequent: in uneven
batches the gain shrinks.""",
            claim="c1",
            verdict="holds",
        ),
        Result(
            "transductive-clustering",
            "The more elaborate variant has not earned its place yet",
            """The graph term adds {effect} points ({low} to {high}), where {smallest} would have counted: **{verdict}**.

**In practice.** Start without it. The simple variant takes most of the gain.""",
            claim="c4",
            verdict="undecided",
        ),
        Result(
            "rankmixup",
            "Calibration without mixed labels",
            """Each arm's calibration error with its own best strength, which validation images chose.""",
            view=4,
        ),
        Result(
            "rankmixup",
            "Order the confidences, and they become honest",
            """Calibration error falls by **{effect} points** ({low} to {high}, n = {n}).

**In practice.** It replaces a loss, not an architecture. Compare it with temperature scaling on a held-out set first: that takes
minutes, and only what is better than that is worth a new training.""",
            claim="c1",
            verdict="holds",
        ),
        Result(
            "one-epoch",
            "In one pass, dropout only costs",
            """Without repetition there is nothing to overfit: dropout costs **{effect} nat** ({low} to {high}, n = {n}).

**In practice.** Before you regularise, count how often an item is seen. What helps in many epochs can hurt in one.""",
            claim="c2",
            verdict="holds",
        ),
        Result(
            "one-epoch",
            "Extrapolating a loss curve by a power law is risky",
            """The claim that the loss is a power law of the iterations **{verdict}**.

**In practice.** Do not promise a loss from a straight line through the first half of a run. Refit as you go.""",
            claim="c3",
            verdict="does not hold",
        ),
        TextSlide(
            "If you adopt one of these",
            """- Reproduce the result on this page first, then change one thing: your data, or your model, not both.
- Keep the seeds paired between the arms. It is the cheapest way to a narrow interval.
- Fix the smallest effect that would matter to you before you look.
- Write down what fails. It saves the next person the same week.""",
        ),
    ),
    "students": (
        TextSlide(
            "How to read a verdict",
            """A paper says that method A is better than B. You train both once, and A wins. Is the paper right?

You cannot know. With another random start B might have won. So here each method is run with several **seeds**, and both share
each seed's data and starting weights. What counts is the difference within a seed.

From these differences comes a **95% interval** for the effect, and from the interval the verdict:

- it lies above zero, and its mean reaches the *smallest effect that counts*: **holds**
- it lies below that effect: **does not hold**
- anything else: **undecided**""",
        ),
        Result(
            "lazy-to-rich-grokking",
            "Grokking: to fit early and to understand late",
            """Two curves for each network: the loss on what it was trained on, and on what it never saw.

At first only the former falls: the network has learnt its training set by heart. Much later, with nothing changed from
outside, the
latter falls as well. That is *grokking*.

The dashed curve is a linearised twin, which cannot change its features. Does it ever grok?""",
            view=0,
        ),
        Result(
            "lazy-to-rich-grokking",
            "An effect with room to spare",
            """The claim asks for a delay of at least {smallest} decades between both falls. A *decade* is a factor of
ten in steps.

**What was seen.** {effect} decades, with an interval from {low} to {high}. All of it lies above zero and the mean reaches what
counts, so the claim **{verdict}**.

Find the thin line, the thick mark and the bar in the picture. Which of them decides?""",
            claim="c1",
            verdict="holds",
        ),
        Result(
            "lazy-to-rich-grokking",
            "A claim is as strong as its weakest part",
            """The paper also says what happens inside: features turn towards the task, and they do so *after* the fit. That
makes two parts, and a claim holds only if all of it does. Here both do, by {effect} decades at the least ({low} to {high},
n = {n}): it **{verdict}**.

Ask of every claim in a paper: which number would have been enough to prove it wrong?""",
            claim="c3",
            verdict="holds",
        ),
        Result(
            "large-step-perceptron",
            "Two old friends turn out to be one",
            """Logistic regression by gradient descent, and the perceptron. With ever larger steps the first becomes the second.

Large steps make the loss soar, which looks like failure. Look at the other panel: when are all samples on the right side?""",
            view=0,
        ),
        Result(
            "large-step-perceptron",
            "Here small is good",
            """Not every effect should be large. This claim says that two methods take the *same* number of steps, so
that the difference has to
stay below {smallest}%.

**What was seen.** {effect}% ({low} to {high}) over {n} problems: it **{verdict}**.

Before you look at a number, ask which direction is good.""",
            claim="c1",
            verdict="holds",
        ),
        Result(
            "neural-collapse",
            "A theory that predicts a picture",
            """Each square is a class paired with a class; its colour is how much their vectors in the last layer point
the same way.

In the last panel, on the left is what training ended with; the others are predictions. Which of them has the same
pattern on its diagonal?""",
            view=0,
        ),
        Result(
            "neural-collapse",
            "The boldest kind of claim",
            """The theory says for which size of class and strength of decay a class must vanish, to the point.

**What was seen.** It was right in {effect}% of the points. A claim that risks so much and survives is worth more than one that
could hardly have failed.""",
            claim="c4",
            verdict="holds",
        ),
        TextSlide(
            "Your turn",
            """Pick a paper in the gallery and press Run. Then:

1. Read a claim **before** you look at its verdict. What do you expect?
2. Run with more seeds under Settings. What happens to the interval?
3. Change one parameter until a claim breaks. You have found where it stops being true, which is often more than the paper says.

Pin what you found, write a note, and present it.""",
        ),
    ),
}


def every(store: Store) -> list[Story]:
    """The three, with the runs of this store."""
    return [_resolved(store, audience) for audience in SLIDES]


def read(store: Store, name: str) -> Story | None:
    """The story for an audience, "for-students"; None where it is for none of them."""
    audience = name.removeprefix("for-")
    return _resolved(store, audience) if name != audience and audience in SLIDES else None


def _resolved(store: Store, audience: str) -> Story:
    slides = tuple(_slide(store, slide) if isinstance(slide, Result) else slide for slide in SLIDES[audience])
    return Story(f"for-{audience}", TITLES[audience], slides, audience=audience)


def _slide(store: Store, result: Result) -> Slide:
    run = reference_of(store, result.paper, result.preset)
    if result.claim:
        return VerdictSlide(run, result.claim, result.title, result.note)
    return PictureSlide(run, result.view, None, result.title, result.note)


def reference_of(store: Store, slug: str, preset: str) -> str:
    """A paper's reference result; where the same has been run here, which replaces it, that run; empty where there is neither."""
    runs = store.runs(slug, "completed")
    runs = runs[runs["preset"] == preset].sort_values("origin", key=lambda origin: origin != "reference", kind="stable")
    seeds = list(registry.declared(slug).preset(preset).seeds)
    for run, spec in zip(runs["run"], map(json.loads, runs["spec"]), strict=True):
        if spec["seeds"] == seeds and not spec.get("overrides") and not spec.get("inputs"):
            return run
    return ""
