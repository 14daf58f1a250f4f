"""The engines that write recaptions, and what they need of the outside: servers, a client, the answer log."""
