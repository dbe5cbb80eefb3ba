"""The lab's tools: what a person does with a Hub model or data of their own, each written to the contract of a method."""
