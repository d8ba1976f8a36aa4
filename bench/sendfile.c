/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sendfile PORT FILE - what the kernel takes to hand a file to clients on loopback, and nothing else: a thread for each
 * connection, any request is answered with the file by sendfile(2). The floor of `GET` of a blob.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int file;
static off_t file_size;

static void *serve(void *arg)
{
	int client = (int)(intptr_t)arg;
	char request[4096];
	char head[128];

	while (read(client, request, sizeof(request)) > 0) {
		int size = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n\r\n",
				    (long long)file_size);
		off_t at = 0;

		if (send(client, head, (size_t)size, MSG_MORE | MSG_NOSIGNAL) < 0)
			break;
		while (at < file_size && sendfile(client, file, &at, (size_t)(file_size - at)) > 0)
			;
		if (at < file_size)
			break;
	}
	close(client);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int server = socket(AF_INET, SOCK_STREAM, 0);
	struct stat st;

	if (argc != 3 || (file = open(argv[2], O_RDONLY)) < 0 || fstat(file, &st) < 0)
		return 2;
	file_size = st.st_size;
	signal(SIGPIPE, SIG_IGN);
	address.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(server, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(server, 64) < 0)
		return 1;
	for (;;) {
		int client = accept(server, NULL, NULL);
		pthread_t thread;

		if (client >= 0 && pthread_create(&thread, NULL, serve, (void *)(intptr_t)client) == 0)
			pthread_detach(thread);
	}
}
