// Package e2e tests the built program with real clients: mosquitto_pub and
// mosquitto_sub, the Eclipse Paho clients for 3.1.1 and 5, and raw connections
// where no client misbehaves enough. It has no code of its own.
//
// kill_test.go kills the program under load, again and again, and holds what was
// acknowledged against what its clients know; a few times with the others, as often as
// -kills says otherwise.
//
// program_test.go builds and runs the program, peer_test.go has the Paho
// clients, mosquitto_test.go the mosquitto ones, socket_test.go bare connections.
//
// Nothing here waits for time to pass: what must come is waited for, with
// [patience] as the end of all hope; what must not come is shown by a message
// that would have come after it.
package e2e
