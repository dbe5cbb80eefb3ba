"""Records a training of one's own into Proving Ground's store: three lines, marked below, in an ordinary torch script.

    PYTHONPATH=. python examples/record_my_training.py

The run is on the pages Runs and Dynamics while it trains, or when the app is opened next.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

from core.recorder import open_run  # 1


def main() -> None:
    """Trains a small network on scikit-learn's digits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--title", default="A small network on digits", help="what the run is called")
    parser.add_argument("--steps", type=int, default=400, help="updates (default: 400)")
    parser.add_argument("--lr", type=float, default=0.1, help="the learning rate (default: 0.1)")
    options = parser.parse_args()

    torch.manual_seed(0)
    data = load_digits()
    order = torch.randperm(len(data.target))
    images = torch.tensor(data.data, dtype=torch.float32)[order] / 16
    labels = torch.tensor(data.target)[order]
    (images, test_images), (labels, test_labels) = (part.split([1297, 500]) for part in (images, labels))

    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimiser = torch.optim.SGD(model.parameters(), options.lr, momentum=0.9)

    with open_run(options.title, params={"lr": options.lr, "steps": options.steps}) as record:  # 2
        for step in range(options.steps + 1):
            batch = torch.randint(len(labels), (64,))
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), torch.inf)
            record.scalars(step, loss=loss, gradient_norm=norm)  # 3
            optimiser.step()
            if step % 50 == 0:  # and whatever else is worth a look
                with torch.no_grad():
                    logits = model(test_images)
                accuracy = (logits.argmax(1) == test_labels).float().mean()
                record.scalars(step, test_accuracy=accuracy)
                record.matrix(step, "first layer", model[0].weight)
        record.predictions(options.steps, logits, test_labels)
        record.result(test_accuracy=accuracy)
    print(f"Test accuracy {accuracy:.1%}. See the pages Runs and Dynamics for “{options.title}”.")


if __name__ == "__main__":
    main()
