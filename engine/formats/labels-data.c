/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* labels-data.c - the class names of well-known data sets, in the order in which networks number them. */
#include "labels-data.h"

/* clang-format off */

/* COCO 2017: the 80 categories in the order of their ids (which have gaps). */
const gchar *const deim_labels_coco[] = {
  "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
  "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
  "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
  "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
  "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
  "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
  "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator",
  "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
  NULL
};

/* Pascal VOC 2007 and 2012. */
const gchar *const deim_labels_voc[] = {
  "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
  "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
  NULL
};

/* CrowdHuman has one category, numbered 1; the official configuration uses the ids as they are. */
const gchar *const deim_labels_crowdhuman[] = { "none", "person", NULL };

/*
 * Objects365 v2 in the order of its ids 1 to 365. The official configurations
 * use the ids as they are, hence 366 outputs of which number 0 means nothing;
 * the first line here is for those, the names proper begin behind it.
 */
const gchar *const deim_labels_objects366[] = {
  "none",
  "Person", "Sneakers", "Chair", "Other Shoes", "Hat", "Car", "Lamp", "Glasses", "Bottle", "Desk", "Cup",
  "Street Lights", "Cabinet/shelf", "Handbag/Satchel", "Bracelet", "Plate", "Picture/Frame", "Helmet", "Book",
  "Gloves", "Storage box", "Boat", "Leather Shoes", "Flower", "Bench", "Potted Plant", "Bowl/Basin", "Flag", "Pillow",
  "Boots", "Vase", "Microphone", "Necklace", "Ring", "SUV", "Wine Glass", "Belt", "Monitor/TV", "Backpack",
  "Umbrella", "Traffic Light", "Speaker", "Watch", "Tie", "Trash bin Can", "Slippers", "Bicycle", "Stool",
  "Barrel/bucket", "Van", "Couch", "Sandals", "Basket", "Drum", "Pen/Pencil", "Bus", "Wild Bird", "High Heels",
  "Motorcycle", "Guitar", "Carpet", "Cell Phone", "Bread", "Camera", "Canned", "Truck", "Traffic cone", "Cymbal",
  "Lifesaver", "Towel", "Stuffed Toy", "Candle", "Sailboat", "Laptop", "Awning", "Bed", "Faucet", "Tent", "Horse",
  "Mirror", "Power outlet", "Sink", "Apple", "Air Conditioner", "Knife", "Hockey Stick", "Paddle", "Pickup Truck",
  "Fork", "Traffic Sign", "Balloon", "Tripod", "Dog", "Spoon", "Clock", "Pot", "Cow", "Cake", "Dining Table", "Sheep",
  "Hanger", "Blackboard/Whiteboard", "Napkin", "Other Fish", "Orange/Tangerine", "Toiletry", "Keyboard", "Tomato",
  "Lantern", "Machinery Vehicle", "Fan", "Green Vegetables", "Banana", "Baseball Glove", "Airplane", "Mouse", "Train",
  "Pumpkin", "Soccer", "Skiboard", "Luggage", "Nightstand", "Tea pot", "Telephone", "Trolley", "Head Phone",
  "Sports Car", "Stop Sign", "Dessert", "Scooter", "Stroller", "Crane", "Remote", "Refrigerator", "Oven", "Lemon",
  "Duck", "Baseball Bat", "Surveillance Camera", "Cat", "Jug", "Broccoli", "Piano", "Pizza", "Elephant", "Skateboard",
  "Surfboard", "Gun", "Skating and Skiing shoes", "Gas stove", "Donut", "Bow Tie", "Carrot", "Toilet", "Kite",
  "Strawberry", "Other Balls", "Shovel", "Pepper", "Computer Box", "Toilet Paper", "Cleaning Products", "Chopsticks",
  "Microwave", "Pigeon", "Baseball", "Cutting/chopping Board", "Coffee Table", "Side Table", "Scissors", "Marker",
  "Pie", "Ladder", "Snowboard", "Cookies", "Radiator", "Fire Hydrant", "Basketball", "Zebra", "Grape", "Giraffe",
  "Potato", "Sausage", "Tricycle", "Violin", "Egg", "Fire Extinguisher", "Candy", "Fire Truck", "Billiards",
  "Converter", "Bathtub", "Wheelchair", "Golf Club", "Briefcase", "Cucumber", "Cigar/Cigarette", "Paint Brush",
  "Pear", "Heavy Truck", "Hamburger", "Extractor", "Extension Cord", "Tong", "Tennis Racket", "Folder",
  "American Football", "Earphone", "Mask", "Kettle", "Tennis", "Ship", "Swing", "Coffee Machine", "Slide", "Carriage",
  "Onion", "Green beans", "Projector", "Frisbee", "Washing Machine/Drying Machine", "Chicken", "Printer",
  "Watermelon", "Saxophone", "Tissue", "Toothbrush", "Ice cream", "Hot-air balloon", "Cello", "French Fries", "Scale",
  "Trophy", "Cabbage", "Hot dog", "Blender", "Peach", "Rice", "Wallet/Purse", "Volleyball", "Deer", "Goose", "Tape",
  "Tablet", "Cosmetics", "Trumpet", "Pineapple", "Golf Ball", "Ambulance", "Parking meter", "Mango", "Key", "Hurdle",
  "Fishing Rod", "Medal", "Flute", "Brush", "Penguin", "Megaphone", "Corn", "Lettuce", "Garlic", "Swan", "Helicopter",
  "Green Onion", "Sandwich", "Nuts", "Speed Limit Sign", "Induction Cooker", "Broom", "Trombone", "Plum", "Rickshaw",
  "Goldfish", "Kiwi fruit", "Router/modem", "Poker Card", "Toaster", "Shrimp", "Sushi", "Cheese", "Notepaper",
  "Cherry", "Pliers", "CD", "Pasta", "Hammer", "Cue", "Avocado", "Hami melon", "Flask", "Mushroom", "Screwdriver",
  "Soap", "Recorder", "Bear", "Eggplant", "Board Eraser", "Coconut", "Tape Measure/Ruler", "Pig", "Showerhead",
  "Globe", "Chips", "Steak", "Crosswalk Sign", "Stapler", "Camel", "Formula 1", "Pomegranate", "Dishwasher", "Crab",
  "Hoverboard", "Meatball", "Rice Cooker", "Tuba", "Calculator", "Papaya", "Antelope", "Parrot", "Seal", "Butterfly",
  "Dumbbell", "Donkey", "Lion", "Urinal", "Dolphin", "Electric Drill", "Hair Dryer", "Egg tart", "Jellyfish",
  "Treadmill", "Lighter", "Grapefruit", "Game board", "Mop", "Radish", "Baozi", "Target", "French", "Spring Rolls",
  "Monkey", "Rabbit", "Pencil Case", "Yak", "Red Cabbage", "Binoculars", "Asparagus", "Barbell", "Scallop", "Noodles",
  "Comb", "Dumpling", "Oyster", "Table Tennis paddle", "Cosmetics Brush/Eyeliner Pencil", "Chainsaw", "Eraser",
  "Lobster", "Durian", "Okra", "Lipstick", "Cosmetics Mirror", "Curling", "Table Tennis",
  NULL
};
