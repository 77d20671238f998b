"""What customers write, by what it is: the classifiers compare the meaning of a message with these. English."""

from __future__ import annotations

from typing import Final

INTENTS: Final[dict[str, tuple[str, ...]]] = {
    "RefundRequest": (
        "I want my money back.",
        "Please refund my last order, it arrived broken.",
        "How do I return this item and get a refund?",
        "I was charged twice and would like the second payment returned.",
        "Cancel my subscription and reimburse this month.",
    ),
    "BillingInvoice": (
        "There is a mistake on my invoice.",
        "Where can I download my bill for last month?",
        "My credit card payment was declined.",
        "Why was I charged a higher price this time?",
        "Please change the address on our invoices.",
    ),
    "ProductQuestion": (
        "How do I set up two-factor authentication?",
        "Does your product support exporting to Excel?",
        "The app crashes when I open the settings page.",
        "What is the difference between the basic and the pro plan?",
        "I get an error message when I try to log in.",
        "Is there a way to automate a weekly task in the app?",
        "Can I share a dashboard with my team?",
    ),
    "GeneralQuestion": (
        "What are your opening hours?",
        "Do you have an office in Berlin?",
        "I would like to speak to somebody.",
        "Thank you for your help yesterday.",
        "Are you hiring at the moment?",
    ),
}

CATEGORIES: Final[dict[str, tuple[str, ...]]] = {
    "billing": (
        "There is a mistake on my invoice.",
        "My credit card was charged the wrong amount.",
        "My payment did not go through.",
    ),
    "technical": (
        "The app crashes on startup.",
        "I cannot log in to my account, it shows an error.",
        "The website is very slow and pages do not load.",
        "Synchronisation stopped working after the update.",
    ),
    "refund_request": (
        "I want my money back.",
        "Please refund my order.",
        "How do I return this and get reimbursed?",
    ),
    "product_inquiry": (
        "Does your product support single sign-on?",
        "Which plan includes the reporting feature?",
        "How do I export my data?",
    ),
    "complaint": (
        "I am very unhappy with your service.",
        "This is the third time nobody has answered me, unacceptable.",
        "Your support was rude and useless.",
    ),
    "compliment": (
        "Great product, I love it!",
        "Your team was wonderful, thank you so much.",
        "Just wanted to say how happy I am with the service.",
    ),
    "general_inquiry": (
        "What are your opening hours?",
        "Where is your company located?",
        "Who should I talk to about a partnership?",
    ),
}

SENTIMENTS: Final[dict[str, tuple[str, ...]]] = {
    "positive": (
        "This is great, thank you so much!",
        "I love your product, it works perfectly.",
        "Excellent service, I am very happy.",
    ),
    "frustrated": (
        "I have tried everything and it still does not work!",
        "This is the third time I write to you, nobody helps.",
        "I am fed up with waiting, this is ridiculous.",
    ),
    "confused": (
        "I do not understand what I am supposed to do here.",
        "It is unclear to me how this works, can you explain?",
        "I am lost, which button do I press?",
    ),
    "negative": (
        "The quality is terrible and I am disappointed.",
        "This is the worst product I ever bought.",
        "Bad experience, I regret the purchase.",
    ),
    "neutral": (
        "Please send me the invoice of March.",
        "I would like to change my delivery address.",
        "What are your opening hours?",
        "Which plan includes the reporting feature?",
    ),
}

SPAM: Final[tuple[str, ...]] = (
    "Congratulations! You have won a free prize, click here to claim it now.",
    "Earn thousands of dollars a week from home, no experience needed.",
    "Cheap viagra and pills without prescription, order today.",
    "Dear friend, I am a prince and need your help to transfer ten million dollars.",
    "Your account has been suspended, verify your password at this link immediately.",
    "We noticed unusual activity, sign in here to confirm your details or your account will be closed.",
    "Your mailbox has reached its limit, validate it now or you will lose your messages.",
    "Boost your website's ranking with our guaranteed backlinks and SEO service.",
    "Hot singles in your area want to meet you tonight.",
    "Double your bitcoin in 24 hours with our guaranteed investment.",
    "You are the lucky winner of our lottery, send your bank details to receive the money.",
    "Get a low interest loan now, no credit check, instant approval.",
    "Free iPhone giveaway, limited time offer, subscribe now!",
    "Buy followers and likes for a cheap price.",
    "Replica watches and luxury handbags at ninety percent discount.",
    "Casino bonus: deposit today and get two hundred free spins.",
)

HUMAN: Final[tuple[str, ...]] = (
    "My order has not arrived yet, can you tell me where it is?",
    "I cannot log in since yesterday, it says my password is wrong.",
    "Please send me a copy of the invoice for March.",
    "How do I export my data to a spreadsheet?",
    "The app crashes whenever I open the settings.",
    "I would like to cancel my subscription at the end of the month.",
    "Do you offer a discount for schools?",
    "Thank you for the quick help, it works now.",
    "I was charged twice for the same order, please refund one payment.",
    "Is there a way to change the email address of my account?",
    "Our company needs a quote for fifty licences.",
    "What are the steps to connect a database to a workflow?",
    "I won a voucher in your newsletter, but the code does not work.",
    "Can I pay with bitcoin?",
    "I am still waiting for an answer to my last three messages.",
    "My account is blocked, please unlock it.",
)
