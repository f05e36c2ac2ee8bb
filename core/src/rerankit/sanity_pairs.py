"""What ``rerankit doctor --model`` asks a model: written by hand for this, so no model has been trained on it.

Of each probe any reader says which document answers the query better. ``topic`` is what every trained reranker gets
right. In ``paraphrase`` the right document shares few words with the query and the wrong one many. ``negation`` and
``numbers`` are hard also for good models. ``language`` has the right document in another language than the query,
which a model of one language need not know.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["KINDS", "PROBES", "Probe"]

KINDS = ("topic", "paraphrase", "negation", "numbers", "language")


class Probe(NamedTuple):
    """A query, the document that answers it, and one that does not."""

    kind: str
    query: str
    better: str
    worse: str


PROBES = (
    Probe(
        "topic",
        "how do bees make honey",
        "Worker bees turn nectar into honey by evaporating its water in the comb.",
        "The parliament passed the budget after a debate that lasted all night.",
    ),
    Probe(
        "topic",
        "what causes earthquakes",
        "Earthquakes happen when rock on both sides of a fault slips suddenly.",
        "A good bread dough is kneaded until it is smooth and elastic.",
    ),
    Probe(
        "topic",
        "treatment of high blood pressure",
        "High blood pressure is treated with less salt, more exercise and medication.",
        "The orchestra tunes to the note that the oboe gives.",
    ),
    Probe(
        "topic",
        "who painted the ceiling of the Sistine Chapel",
        "Michelangelo painted the ceiling of the Sistine Chapel between 1508 and 1512.",
        "Lithium batteries lose capacity when they are kept fully charged in the heat.",
    ),
    Probe(
        "topic",
        "how to reverse a list in Python",
        "Call list.reverse() to reverse a Python list in place, or reversed() for an iterator.",
        "Penguins share the task of keeping the egg warm through the winter.",
    ),
    Probe(
        "topic",
        "side effects of drinking too much coffee",
        "Too much coffee can bring restlessness, a racing heart and poor sleep.",
        "The bridge was closed to lorries while its cables were replaced.",
    ),
    Probe(
        "topic",
        "why do leaves change color in autumn",
        "In autumn trees break down the green chlorophyll, and yellow and red pigments show in the leaves.",
        "The referee may stop the match if lightning is seen near the field.",
    ),
    Probe(
        "topic",
        "how does a vaccine work",
        "A vaccine shows the immune system a harmless part of a germ, so that it is ready for the real one.",
        "Rents in the old town have doubled since the railway station was opened.",
    ),
    Probe(
        "paraphrase",
        "how can I make my car use less fuel",
        "Driving gently and keeping the tyres inflated stretches every litre of petrol.",
        "How can I make my car use the fuel light as a reminder?",
    ),
    Probe(
        "paraphrase",
        "why is the sky blue",
        "Air scatters short wavelengths of sunlight more than long ones, which tints the heavens.",
        "The Blue Sky is a hotel, and its guests ask why the pool is green.",
    ),
    Probe(
        "paraphrase",
        "how do I stop hiccups",
        "Holding your breath for a few seconds often ends these spasms of the diaphragm.",
        "I stop at the shop called Hiccups and do my shopping there.",
    ),
    Probe(
        "paraphrase",
        "is it safe to eat raw eggs",
        "Uncooked yolks may carry salmonella, so young children had better not have them.",
        "Keep raw eggs in a safe place if birds eat there.",
    ),
    Probe(
        "paraphrase",
        "what is the fastest land animal",
        "The cheetah outruns every other creature on four legs, at over 100 km/h.",
        "The fastest way to land with an animal in the plane is a direct flight.",
    ),
    Probe(
        "paraphrase",
        "how to fall asleep quickly",
        "A dark, cool room and no screens before bed help you drift off within minutes.",
        "Prices fall quickly while the market is asleep.",
    ),
    Probe(
        "paraphrase",
        "when did people first walk on the moon",
        "Armstrong and Aldrin set foot on the lunar surface in July 1969.",
        "People walk first to the lake when the moon is full.",
    ),
    Probe(
        "paraphrase",
        "how can I remove red wine from a carpet",
        "Blot the claret stain on the rug at once, then dab it with soda water.",
        "Red wine was served on the carpet where the guests sat.",
    ),
    Probe(
        "negation",
        "animals that do not lay eggs",
        "Whales give birth to live young.",
        "Hens, turtles and crocodiles are animals that lay eggs.",
    ),
    Probe(
        "negation",
        "countries without an army",
        "Costa Rica abolished its armed forces in 1948.",
        "Countries with an army spend a part of their budget on it.",
    ),
    Probe(
        "negation",
        "is the medicine not suitable for pregnant women",
        "Pregnant women must not take this medicine.",
        "Pregnant women may take this medicine without concern.",
    ),
    Probe(
        "negation",
        "plants that need no sunlight",
        "The ghost plant lives in deep shade and takes its food from fungi.",
        "Sunflowers and tomatoes are plants that need full sunlight.",
    ),
    Probe(
        "negation",
        "which metals are not magnetic",
        "Copper, gold and aluminium are not attracted by a magnet.",
        "Iron, nickel and cobalt are the metals that are magnetic.",
    ),
    Probe(
        "negation",
        "recipes without milk",
        "This cake is made with oil and water only, so nothing in it comes from a cow.",
        "Recipes with milk: stir the milk into the flour, then add more milk.",
    ),
    Probe(
        "numbers",
        "which drug was tested on more than 1000 patients",
        "The trial of the first drug had 2,400 patients.",
        "The trial of the second drug had 85 patients.",
    ),
    Probe(
        "numbers",
        "laptops under 500 dollars",
        "This laptop costs 399 dollars.",
        "This laptop costs 1,899 dollars.",
    ),
    Probe(
        "numbers",
        "what happened in 1912",
        "The Titanic sank in April 1912.",
        "The first programmable computer was shown in 1941.",
    ),
    Probe(
        "numbers",
        "towers taller than 300 metres",
        "The tower rises to a height of 330 metres.",
        "The tower rises to a height of 45 metres.",
    ),
    Probe(
        "numbers",
        "hotels with at least four stars",
        "A five-star hotel near the harbour.",
        "A two-star hotel near the harbour.",
    ),
    Probe(
        "numbers",
        "a journey of less than two hours",
        "The train takes ninety minutes.",
        "The train takes seven hours.",
    ),
    Probe(
        "language",
        "how do bees make honey",
        "Bienen trocknen den Nektar in der Wabe, bis Honig daraus wird.",
        "Der Zug nach Hamburg hat heute zwanzig Minuten Verspätung.",
    ),
    Probe(
        "language",
        "what causes earthquakes",
        "Les séismes se produisent lorsque les roches glissent le long d'une faille.",
        "Le musée est fermé le mardi et les jours fériés.",
    ),
    Probe(
        "language",
        "treatment of high blood pressure",
        "La hipertensión se trata con menos sal, ejercicio y medicamentos.",
        "El concierto empezó con media hora de retraso.",
    ),
    Probe(
        "language",
        "how does a vaccine work",
        "疫苗让免疫系统预先认识病原体。",
        "火车站旁边新开了一家书店。",
    ),
    Probe(
        "language",
        "why do leaves change color in autumn",
        "秋には葉緑素が分解され、黄色や赤の色素が見えるようになる。",
        "次の会議は木曜日の午後に開かれる。",
    ),
    Probe(
        "language",
        "side effects of drinking too much coffee",
        "الإفراط في شرب القهوة يسبب الأرق وتسارع ضربات القلب.",
        "أغلق الجسر أمام الشاحنات بسبب أعمال الصيانة.",
    ),
)
